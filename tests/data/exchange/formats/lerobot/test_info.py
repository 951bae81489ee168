"""Descriptions of sets that mean harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lerobot_sets import edit_features, edit_info, refused


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"codebase_version": "v2.1"}, "episodes.jsonl: there is no such file"),
        ({"codebase_version": "v1.6"}, "v1.6', not v3.0; LeRobot 0.3.3 brings"),
        ({"codebase_version": "v4.0"}, "v4.0', not v3.0; give a set of v2.0, v2.1 or v3.0"),
        ({"codebase_version": None}, "has version None"),
        ({"fps": 0}, "no sound fps"),
        ({"fps": True}, "no sound fps"),
        ({"total_frames": 5}, "says total_frames 5"),
        ({"total_episodes": 1 << 60}, "says total_episodes"),
        ({"data_path": "../{chunk_index:03d}/{file_index:03d}.parquet"}, "has a path"),
        ({"data_path": "/etc/passwd"}, "has a path"),
        ({"data_path": "{chunk_index:0999999999d}"}, "has a path"),
        ({"data_path": "{chunk_index.__class__}"}, "has a path"),
        ({"data_path": "data\0"}, "has a path"),
        ({"data_path": ...}, "does not say where the files are"),
        ({"data_path": "data/{file_index}.parquet"}, "no such file"),
        ({"features": {}}, "describes no features"),
        ({"features": 7}, "describes no features"),
    ],
)
def test_a_description_that_means_harm_is_refused(
    exported: Path, changed: dict[str, Any], match: str
) -> None:
    edit_info(exported, **changed)
    refused(exported, match)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ([1 << 20, 1 << 20], "numbers a frame"),
        ([1 << 60], "has shape"),
        ([-1], "has shape"),
        ([1.5], "has shape"),
        ("3", "has no dtype or no shape"),
        ([4], "has not 4 numbers a row"),
    ],
)
def test_shape_bombs_are_refused(foreign: Path, shape: Any, match: str) -> None:
    edit_features(foreign, observation__state={"dtype": "float32", "shape": shape, "names": None})
    refused(foreign, match)


@pytest.mark.parametrize("where", ["data", "meta/lawm", "meta/episodes"])
def test_links_to_the_outside_are_refused(exported: Path, where: str) -> None:
    (exported / where).rename(exported.parent / "outside")
    (exported / where).symlink_to(exported.parent / "outside")
    refused(exported, "leads outside the set")
