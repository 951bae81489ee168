"""Sentences about the frames of a LeRobot set: the language columns of LeRobot 0.6.

``language_persistent`` says in every frame the same: rows with their own time, such as subtasks.
``language_events`` says something in the frames where it happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lawm_schemas import CorpusError

PERSISTENT, EVENTS = COLUMNS = ("language_persistent", "language_events")
DTYPE = "language"
"""What ``info.json`` calls the type of such a column."""
MOST = 1 << 18
"""Sentences in a batch of frames."""


def sentences(name: str, column: Any, times: list[float], where: str) -> Iterator[dict[str, Any]]:
    """What a column says in some frames, each sentence with its ``timestamp``; nulls are left out.

    Args:
        name: of the column. Of the persistent one, only the first frame is looked at.
        column: an Arrow array of lists of structs, one for each frame.
        times: of the frames, in seconds.
        where: for messages.

    Raises:
        CorpusError: it holds something else, or very much.
    """
    column = column.slice(0, 1) if name == PERSISTENT else column
    listed = hasattr(column, "value_lengths")
    if listed and (column.value_lengths().sum().as_py() or 0) > MOST:
        what = "says too much at once"
        raise CorpusError(what, where, "leave it out with --without")
    for rows, time in zip(column.to_pylist(), times, strict=False):
        for row in rows if isinstance(rows, list) else [rows]:
            if row is None:
                continue
            if not isinstance(row, dict) or rows is row:
                raise CorpusError("holds no sentences", where, "leave it out with --without")
            kept = {key: value for key, value in row.items() if value is not None}
            yield {"timestamp": time} | kept
