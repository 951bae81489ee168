"""Sidecars that are not those of the set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_sets import edit_column, refused

from lawm_data import open_corpus
from lawm_data.exchange import import_corpus


def test_a_sidecar_of_another_set_is_refused(exported: Path) -> None:
    rows = pq.read_table(exported / "meta/lawm/trajectories.parquet")
    pq.write_table(rows.slice(0, 3), exported / "meta/lawm/trajectories.parquet")
    refused(exported, "knows 3 trajectories, and there are 4; restore it, or remove meta/lawm")


@pytest.mark.parametrize("column", ["provenance", "length", "terminated", "metadata", "seed", "id"])
def test_a_sidecar_of_other_types_is_refused(exported: Path, column: str) -> None:
    path = exported / "meta/lawm/trajectories.parquet"
    edit_column(path, column, pa.array([[1.0]] * len(pq.read_table(path))))
    refused(exported, f"{column} is not (u?int64|bool|string); restore it")


def test_seeds_of_an_export_made_before_they_had_64_bits(exported: Path, tmp_path: Path) -> None:
    path = exported / "meta/lawm/trajectories.parquet"
    count = len(pq.read_table(path))
    edit_column(path, "seed", pa.array([None, *range(count - 1)], pa.int64()))
    import_corpus(f"lerobot:{exported}", tmp_path / "back")
    back = open_corpus(tmp_path / "back")
    assert [t.info.seed for t in back] == [None, *range(count - 1)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("overlay", "environment") for value in ([], {}, 0, "", [1])),
        *((key, value) for key in ("masks", "lineage", "provenance") for value in (0, [1])),
        ("provenance", []),
    ],
)
def test_a_sidecar_of_other_values_is_refused(exported: Path, key: str, value: Any) -> None:
    path = exported / "meta/lawm/corpus.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, key: value}))
    refused(exported, "meta/lawm")
