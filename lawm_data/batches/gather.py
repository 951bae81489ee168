"""Gathers of windows of rows from arrays that lie in several shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Int

from lawm_data.system.hdf5 import ChunkedField


class WindowReader:
    """Reads ``rows`` consecutive rows of one array that every shard holds a part of.

    Each shard's array is seen as overlapping windows, each one item of many bytes, without a
    copy: reading a batch is then one fancy index per shard that copies whole blocks.

    Args:
        arrays: the array of each shard, (R, *shape), or none where a shard lacks it.
        rows: rows per window.
    """

    def __init__(self, arrays: Sequence[np.ndarray | None], rows: int) -> None:
        self._arrays = [None if a is None else np.asarray(a) for a in arrays]
        known = next(a for a in self._arrays if a is not None)
        self._shape, self._dtype = (rows, *known.shape[1:]), known.dtype
        self._item = np.dtype((np.void, rows * known.strides[0]))
        self._views = [_items(a, rows, self._item) for a in self._arrays]

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
        if last is not None:
            return self._read_padded(shard, row, last)
        if len(self._views) == 1:
            items = self._views[0][row]
        else:
            items = np.empty(len(row), self._item)
            for number, here in _by_shard(shard):
                items[here] = self._views[number][row[here]]
        return items.view(self._dtype).reshape(-1, *self._shape)

    def _read_padded(
        self,
        shard: Int[np.ndarray, " B"],
        row: Int[np.ndarray, " B"],
        last: Int[np.ndarray, " B"],
    ) -> np.ndarray:
        read = np.empty((len(row), *self._shape), self._dtype)
        rows = np.minimum(row[:, None] + np.arange(self._shape[0]), last[:, None])
        for number, here in _by_shard(shard):
            array = self._arrays[number]
            assert array is not None
            read[here] = array[rows[here]]
        return read


def _by_shard(
    shard: Int[np.ndarray, " B"],
) -> Iterator[tuple[int, Int[np.ndarray, " n"]]]:
    """Shards that are touched, and the places of their windows in the batch."""
    order = np.argsort(shard, kind="stable")
    grouped = shard[order]
    edges = np.flatnonzero(np.diff(grouped, prepend=-1))
    for number, (first, end) in zip(
        grouped[edges].tolist(), pairwise([*edges.tolist(), len(shard)]), strict=True
    ):
        yield number, order[first:end]


def _items(array: np.ndarray | None, rows: int, item: np.dtype) -> np.ndarray:
    """All windows of consecutive rows as opaque items, a view: (R - rows + 1,)."""
    if array is None or len(array) < rows:
        return np.empty(0, item)
    # NumPy checks that the last window still lies inside the buffer.
    return np.ndarray((len(array) - rows + 1,), item, array, strides=array.strides[:1])


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
        stops = row + self._rows if last is None else np.minimum(row + self._rows, last + 1)
        known = self._arrays[int(shard[0])]
        windows = np.empty((len(row), self._rows, *known.shape[1:]), known.dtype)
        places = zip(windows, shard.tolist(), row.tolist(), stops.tolist(), strict=True)
        for window, number, first, stop in places:
            array, count = self._arrays[number], stop - first
            if isinstance(array, ChunkedField):
                array.read_into(window[:count], first, stop)
            else:
                window[:count] = array[first:stop]
            window[count:] = window[count - 1]
        return windows
