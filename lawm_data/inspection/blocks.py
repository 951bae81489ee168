"""The rows of a view in blocks, so that a corpus of any size is measured in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from lawm_schemas import ArraySpec, Role

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.layout import layout_of

BLOCK_BYTES = 1 << 24
"""Largest block, counted in float64."""


def observation_blocks(corpus: Corpus, spec: ArraySpec) -> Iterator[np.ndarray]:
    """All rows of one observation array of a view, T+1 for each trajectory, in no fixed order.

    Yields:
        (n, size) of the stored type; pixels come as (n · height · width, channels).
    """
    columns = {packed.name: part for packed, part in layout_of(corpus.manifest).packed}
    width = spec.shape[-1] if spec.role is Role.pixels else spec.size
    index = corpus.index
    for number, rows in _runs(index.shard, index.row, index.length + 1, spec.size):
        shard = corpus.shards[number]
        if spec.name in columns:
            yield shard.steps[rows, columns[spec.name]]
        else:
            yield np.asarray(shard.fields[spec.name][rows]).reshape(-1, width)


def action_blocks(corpus: Corpus) -> Iterator[np.ndarray]:
    """The observed actions of a view: not those that a mask hides, and not inferred ones.

    Yields:
        (n, A) of the stored type.
    """
    index = corpus.index
    shown = index.action_row >= 0
    first, length = index.action_row[shown], index.length[shown]
    for number, rows in _runs(index.shard[shown], first, length, corpus.manifest.action.size):
        shard = corpus.shards[number]
        assert shard.actions is not None
        flags = shard.action_observed
        yield shard.actions[rows] if flags is None else shard.actions[rows][flags[rows]]


def _runs(
    shard: np.ndarray, first: np.ndarray, count: np.ndarray, size: int
) -> Iterator[tuple[int, slice]]:
    """Rows of trajectories as slices of the shards: neighbours are joined, long runs are cut."""
    order = np.lexsort((first, shard))
    shard, first, end = shard[order], first[order], (first + count)[order]
    joined = (shard[1:] == shard[:-1]) & (first[1:] == end[:-1])
    begins = np.flatnonzero(np.concatenate([np.ones(min(1, len(shard)), bool), ~joined]))
    ends = np.append(begins[1:], len(shard))[: len(begins)] - 1
    most = max(1, BLOCK_BYTES // (8 * size))
    for begin, last in zip(begins.tolist(), ends.tolist(), strict=True):
        stop = int(end[last])
        for start in range(int(first[begin]), stop, most):
            yield int(shard[begin]), slice(start, min(start + most, stop))
