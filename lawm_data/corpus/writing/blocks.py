"""Trajectories of a shard in blocks: many that are equally long at once, as arrays (n, T, …).

What is asked of every trajectory is asked of a block by one operation of numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from lawm_data.corpus.layout import Layout
from lawm_data.corpus.shard import Shard
from lawm_data.corpus.table import OBSERVED
from lawm_data.system.hdf5 import ChunkedField

BLOCK_BYTES = 1 << 20
"""Size of a block: what is computed from it stays in the caches of a processor."""


class Block(NamedTuple):
    """The arrays of n trajectories of T steps."""

    steps: np.ndarray
    """(n, T+1, W) float32."""
    fields: Mapping[str, np.ndarray]
    """(n, T+1, *shape), by name."""
    actions: np.ndarray | None
    """(n, T, A), or None where not one of the trajectories has actions; all have them otherwise."""
    observed: np.ndarray
    """(n, T) bool."""


def alike(shard: Shard, columns: Mapping[str, np.ndarray], layout: Layout) -> Iterator[np.ndarray]:
    """Divide the trajectories of a shard into blocks; gives the places (n,) of each.

    One that is long, or has compressed arrays, which are read by slices, is a block of its own.

    Args:
        shard: where they are.
        columns: its part of the table.
        layout: of the shard.
    """
    length, recorded = columns["length"], columns["labels"] == OBSERVED
    row = 4 * layout.width + layout.action.size * layout.action_dtype.itemsize
    row += sum(spec.size * np.dtype(spec.dtype).itemsize for spec in layout.apart)
    if any(isinstance(field, ChunkedField) for field in shard.fields.values()):
        row = BLOCK_BYTES
    order = np.lexsort((recorded, length))
    differ = (np.diff(length[order]) != 0) | (np.diff(recorded[order]) != 0)
    for places in np.split(order, np.flatnonzero(differ) + 1):
        size = max(1, BLOCK_BYTES // (row * (int(length[places[0]]) + 1))) if len(places) else 1
        yield from (places[start : start + size] for start in range(0, len(places), size))


def read_block(shard: Shard, columns: Mapping[str, np.ndarray], places: np.ndarray) -> Block:
    """Some trajectories that ``alike`` found to go together.

    Raises:
        CorpusError: an array is damaged so that it cannot be decompressed.
    """
    first, count = places[0], int(columns["length"][places[0]])
    recorded = columns["labels"][first] == OBSERVED and shard.actions is not None

    def taken(array: np.ndarray | ChunkedField, start: np.ndarray, rows: int) -> np.ndarray:
        if len(places) == 1:  # as it lies in the file
            return array[int(start[first]) : int(start[first]) + rows][None]
        assert isinstance(array, np.ndarray)
        return array[start[places][:, None] + np.arange(rows)]

    row, action_row = columns["row"], columns["action_row"]
    flags = shard.action_observed
    observed = np.full((len(places), count), recorded)
    if recorded and flags is not None:
        observed = taken(flags, action_row, count)
    return Block(
        steps=taken(shard.steps, row, count + 1),
        fields={name: taken(field, row, count + 1) for name, field in shard.fields.items()},
        actions=taken(shard.actions, action_row, count)
        if recorded and shard.actions is not None
        else None,
        observed=observed,
    )
