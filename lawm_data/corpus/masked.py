"""The shards of a masked view: the actions that it hides are not in them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cached_property

import numpy as np
from lawm_schemas import Mask

from lawm_data.corpus.shard import Shard
from lawm_data.corpus.store import Store

IN_MEMORY = 512 << 20
"""Bytes of readable actions of one shard above which the copy is mapped from a nameless file."""


class Masked:
    """A mask over a store.

    Args:
        store: the corpus.
        mask: the mask.
        readable: (N,) bool: the trajectories of the whole corpus whose actions it shows.
    """

    def __init__(self, store: Store, mask: Mask, readable: np.ndarray) -> None:
        self._store = store
        self.mask = mask
        self.readable = readable

    @property
    def shards(self) -> tuple[Shard, ...]:
        """Shards that hold no hidden action."""
        return self._content[0]

    @property
    def action_row(self) -> np.ndarray:
        """(N,) int64: row of each trajectory's actions in them, -1 where there are none."""
        return self._content[1]

    @cached_property
    def _content(self) -> tuple[tuple[Shard, ...], np.ndarray]:
        """The readable actions are copied when they are first needed."""
        return masked_shards(self._store, self.readable)


def masked_shards(store: Store, readable: np.ndarray) -> tuple[tuple[Shard, ...], np.ndarray]:
    """Shards that hold the actions of readable trajectories and no others.

    A mask over the index alone would leave the hidden actions one slice away, in
    ``Shard.actions``. So the readable ones are copied: they are the few percent that are labeled,
    and reading them touches no page of the others.

    Args:
        store: the corpus.
        readable: (N,) bool, over the whole corpus.

    Returns:
        The shards, and the row of each trajectory's actions in them, -1 where there are none.
    """
    shown = readable & (store.index.action_row >= 0)
    rows = np.full(len(shown), -1, np.int64)
    shards = []
    for number, shard in enumerate(store.shards):
        here = np.flatnonzero(shown & (store.index.shard == number))
        length, first = store.index.length[here], store.index.action_row[here]
        if shard.actions is not None and length.sum() == len(shard.actions):
            rows[here] = first
            shards.append(shard)
            continue
        begin = np.cumsum(length) - length
        rows[here] = begin
        if not len(here) or shard.actions is None:
            shards.append(replace(shard, actions=None, action_observed=None))
            continue
        taken = np.repeat(first - begin, length) + np.arange(length.sum())
        observed = shard.action_observed
        shards.append(
            replace(
                shard,
                actions=_copy(shard.actions, taken),
                action_observed=None if observed is None else observed[taken],
            )
        )
    return tuple(shards), rows


def _copy(actions: np.ndarray, rows: np.ndarray) -> np.ndarray:
    shape = (len(rows), actions.shape[1])
    if len(rows) * actions.strides[0] <= IN_MEMORY:
        kept = actions[rows]
    else:
        with tempfile.TemporaryFile() as file:
            kept = np.memmap(file, actions.dtype, "w+", shape=shape)
        for start in range(0, len(rows), 1 << 20):
            kept[start : start + (1 << 20)] = actions[rows[start : start + (1 << 20)]]
    kept.flags.writeable = False
    return kept
