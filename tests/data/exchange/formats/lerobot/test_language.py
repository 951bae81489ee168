"""Sentences about frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lawm_schemas import CorpusError
from lerobot_sets import FRAMES, brought, edit_column, edit_features, refused

from lawm_data.exchange.formats.lerobot import language
from lawm_data.exchange.formats.lerobot.language import EVENTS, PERSISTENT, sentences

ROW = {"role": "user", "content": "go on", "style": None}


def said(name: str, rows: list[Any], times: list[float]) -> list[dict[str, Any]]:
    return list(sentences(name, pa.array(rows), times, "here"))


def test_events_have_the_time_of_their_frame() -> None:
    kept = {"role": "user", "content": "go on"}
    found = said(EVENTS, [[], [ROW], None, [ROW, ROW]], [0.0, 0.1, 0.2, 0.3])
    assert found == [{"timestamp": time} | kept for time in (0.1, 0.3, 0.3)]


def test_what_every_frame_says_is_read_once_and_keeps_its_time() -> None:
    rows = [ROW | {"timestamp": 0.0}, ROW | {"timestamp": 0.5}]
    found = said(PERSISTENT, [rows] * 3, [0.0, 0.1, 0.2])
    assert [row["timestamp"] for row in found] == [0.0, 0.5]


@pytest.mark.parametrize("rows", [["text"], [7], [[1, 2]], [["a"]], [{"role": "x"}]])
def test_what_holds_no_sentences_is_refused(rows: list[Any]) -> None:
    with pytest.raises(CorpusError, match="here: holds no sentences; leave it out with --without"):
        said(EVENTS, rows, [0.0])


def test_very_many_sentences_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "MOST", 3)
    assert len(said(EVENTS, [[ROW] * 3], [0.0])) == 3
    with pytest.raises(CorpusError, match="here: says too much at once; leave it out"):
        said(EVENTS, [[ROW] * 2, [ROW] * 2], [0.0, 0.1])


def with_events(place: Path, values: pa.Array) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(place / FRAMES)
    pq.write_table(table.append_column(EVENTS, values), place / FRAMES)


def test_a_damaged_column_never_costs_the_set(foreign: Path) -> None:
    import pyarrow.parquet as pq

    feature = {"dtype": "language", "shape": [1], "names": None}
    edit_features(foreign, **{EVENTS: feature})
    refused(foreign, f"has 0 columns '{EVENTS}'")
    frames = len(pq.read_table(foreign / FRAMES))
    with_events(foreign, pa.array(["text"] * frames))
    refused(foreign, "holds no sentences; leave it out with --without")
    edit_column(foreign / FRAMES, EVENTS, pa.array([[{"role": b"\xff"}]] * frames))
    refused(foreign, "is not plain JSON")
    assert len(brought(foreign, without=EVENTS)) == 4
