"""LeRobot sets, exported and then changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from lawm_schemas import ArraySpec, LawmError, Role

from lawm_data import Corpus, open_corpus
from lawm_data.exchange import import_corpus

PIXELS = ArraySpec(name="camera", shape=(16, 24, 3), dtype="uint8", role=Role.pixels)


STATE = (ArraySpec(name="position", shape=(2,)), ArraySpec(name="height", shape=()))


DOUBLE = ArraySpec(name="clock", shape=(2, 2), dtype="float64")


PHYSICS = ArraySpec(name="simulator", shape=(3,), dtype="float64", role=Role.physics)


EPISODES = "meta/episodes/chunk-000/file-000.parquet"


FRAMES = "data/chunk-000/file-000.parquet"


LABELS = ("observed", "missing", "partial", "observed")


def brought(place: Path, **settings: Any) -> Corpus:
    out = place.parent / "back"
    import_corpus(f"lerobot:{place}", out, settings)
    return open_corpus(out, verify=True)


def refused(place: Path, match: str) -> None:
    with pytest.raises(LawmError, match=match) as refusal:
        brought(place)
    assert "\n" not in str(refusal.value)
    assert not (place.parent / "back").exists()


def edit_info(place: Path, **changed: Any) -> None:
    file = place / "meta/info.json"
    info = json.loads(file.read_text()) | changed
    file.write_text(json.dumps({key: value for key, value in info.items() if value is not ...}))


def edit_features(place: Path, **changed: Any) -> None:
    features = json.loads((place / "meta/info.json").read_text())["features"]
    edit_info(place, features=features | {k.replace("__", "."): v for k, v in changed.items()})


def edit_column(file: Path, name: str, values: Any) -> None:
    table = pq.read_table(file)
    at = table.schema.get_field_index(name)
    pq.write_table(table.set_column(at, name, values), file)
