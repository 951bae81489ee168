"""Sentences come with their time, and nothing but sentences is taken."""

from typing import Any

import pyarrow as pa
import pytest
from lawm_schemas import CorpusError

from lawm_data.exchange.formats.lerobot.language import EVENTS, MOST, PERSISTENT, sentences


def spoken(name: str, rows: list[Any], times: list[float]) -> list[dict[str, Any]]:
    return list(sentences(name, pa.array(rows), times, "here"))


def test_events_are_said_where_they_happen() -> None:
    rows = [[{"role": "user", "content": "go"}], None, [], [{"role": None, "content": "stop"}]]
    assert spoken(EVENTS, rows, [0.0, 0.1, 0.2, 0.3]) == [
        {"timestamp": 0.0, "role": "user", "content": "go"},
        {"timestamp": 0.3, "content": "stop"},
    ]


def test_what_every_frame_says_is_taken_once_with_its_own_time() -> None:
    rows = [[{"content": "fold", "timestamp": 1.5}, {"content": "lift", "timestamp": None}]] * 3
    assert spoken(PERSISTENT, rows, [0.0, 0.1, 0.2]) == [
        {"timestamp": 1.5, "content": "fold"},
        {"timestamp": 0.0, "content": "lift"},
    ]


@pytest.mark.parametrize("rows", [[["go"]], [[1, 2]]])
def test_anything_else_is_refused(rows: list) -> None:
    with pytest.raises(CorpusError, match="here: holds no sentences; leave it out with --without"):
        spoken(EVENTS, rows, [0.0])


def test_very_much_is_refused() -> None:
    rows = pa.ListArray.from_arrays(
        [0, MOST + 1], pa.nulls(MOST + 1, pa.struct([("a", pa.int8())]))
    )
    with pytest.raises(CorpusError, match="says too much at once"):
        list(sentences(EVENTS, rows, [0.0], "here"))
