"""Gathers of windows of rows from arrays that lie in several shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int


class WindowReader:
    """Reads ``rows`` consecutive rows of one array that every shard holds a part of.

    Each shard's array is seen as overlapping windows, each one item of many bytes, without a
    copy: reading a batch is then one fancy index per shard that copies whole blocks.

    Args:
        arrays: the array of each shard, (R, *shape), or none where a shard lacks it.
        rows: rows per window.
    """

    def __init__(self, arrays: Sequence[np.ndarray | None], rows: int) -> None:
        self._rows = rows
        self._arrays = [None if a is None else np.asarray(a) for a in arrays]
        self._views = [_windows(a, rows) for a in self._arrays]
        known = next(a for a in self._arrays if a is not None)
        self._shape, self._dtype = known.shape[1:], known.dtype

    def __call__(
        self,
        shard: Int[np.ndarray, " B"],
        row: Int[np.ndarray, " B"],
        last: Int[np.ndarray, " B"] | None = None,
    ) -> np.ndarray:
        """Windows (B, rows, *shape) in memory of their own.

        Args:
            shard: shard of each window.
            row: its first row.
            last: the row that a window must not pass; it is repeated instead. None when no
                window would.
        """
        if len(self._views) == 1:
            return self._read(0, row, last)
        read = np.empty((len(row), self._rows, *self._shape), self._dtype)
        for number in np.flatnonzero(np.bincount(shard)).tolist():
            here = shard == number
            read[here] = self._read(number, row[here], None if last is None else last[here])
        return read

    def _read(self, number: int, row: np.ndarray, last: np.ndarray | None) -> np.ndarray:
        if last is None:
            windows = self._views[number][row].view(self._dtype)
            return windows.reshape(len(row), self._rows, *self._shape)
        array = self._arrays[number]
        assert array is not None
        return array[np.minimum(row[:, None] + np.arange(self._rows), last[:, None])]


def _windows(array: np.ndarray | None, rows: int) -> np.ndarray:
    """All windows of consecutive rows as opaque items, a view: (R - rows + 1,)."""
    if array is None or len(array) < rows:
        return np.empty(0, "V1")
    # NumPy checks that the last window still lies inside the buffer.
    stride = array.strides[0]
    kind = np.dtype((np.void, rows * stride))
    return np.ndarray((len(array) - rows + 1,), kind, array, strides=(stride,))


class SliceReader:
    """Reads windows of an array that is stored in compressed chunks, one slice per window.

    Args:
        arrays: the array of each shard, read as ``array[first:end]``.
        rows: rows per window.
    """

    def __init__(self, arrays: Sequence[Any], rows: int) -> None:
        self._arrays, self._rows = arrays, rows

    def __call__(
        self,
        shard: Int[np.ndarray, " B"],
        row: Int[np.ndarray, " B"],
        last: Int[np.ndarray, " B"] | None = None,
    ) -> np.ndarray:
        """See ``WindowReader``."""
        ends = row + self._rows - 1 if last is None else np.minimum(row + self._rows - 1, last)
        windows = []
        for number, first, end in zip(shard.tolist(), row.tolist(), ends.tolist(), strict=True):
            read = np.asarray(self._arrays[number][first : end + 1])
            windows.append(
                np.concatenate([read, read[-1:].repeat(first + self._rows - 1 - end, 0)])
            )
        return np.stack(windows)
