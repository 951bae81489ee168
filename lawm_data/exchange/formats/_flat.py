"""Flat formats: the rows of all trajectories one after the other, with marks where they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from lawm_schemas import CorpusError

from lawm_data.exchange.untrusted.arrays import flags, require_finite

BLOCK = 1 << 20
"""Rows of marks, or numbers of an action, that are read at once."""


class Rows(Protocol):
    """An array that is read from its first row to its last."""

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int:
        """How many rows."""
        ...

    def next(self, count: int) -> np.ndarray:
        """The next rows."""
        ...

    def close(self) -> None:
        """Stop reading."""
        ...


def blocks(rows: Rows) -> Iterator[np.ndarray]:
    """An array in blocks, so that memory stays flat; closed at the end."""
    size = max(1, BLOCK // max(1, int(np.prod(rows.shape[1:]))))
    try:
        for start in range(0, len(rows), size):
            yield rows.next(min(size, len(rows) - start))
    finally:
        rows.close()


def marked(rows: Rows) -> np.ndarray:
    """The numbers of the rows that a flag marks, sorted."""
    found, start = [np.empty(0, np.int64)], 0
    for block in blocks(rows):
        found.append(start + np.flatnonzero(flags(block, rows.where)))
        start += len(block)
    return np.concatenate(found)


def segments(ends: np.ndarray, rows: int) -> np.ndarray:
    """First row and end (exclusive) of each trajectory, (n, 2), given the last rows of them.

    Rows after the last mark are a trajectory that does not end.
    """
    stops = ends + 1
    if rows and (not len(stops) or stops[-1] < rows):
        stops = np.append(stops, rows)
    return np.stack([np.append(0, stops[:-1])[: len(stops)], stops], 1)


def next_finite(rows: Rows, first: int, count: int) -> np.ndarray:
    """The next rows, which hold only finite numbers; ``first`` is for messages."""
    return require_finite(rows.next(count), rows.where, first)


def same_length(arrays: dict[str, Rows]) -> int:
    """How many rows the arrays have.

    Raises:
        CorpusError: they disagree.
    """
    first = next(iter(arrays.values()))
    for rows in arrays.values():
        if not rows.shape or len(rows) != len(first):
            what = f"has {len(rows)} rows where {len(first)} are due"
            raise CorpusError(what, rows.where, "make the lengths agree")
    return len(first)
