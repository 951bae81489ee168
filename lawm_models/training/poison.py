"""Corpora whose hidden actions are garbage: whoever reads one of them gives itself away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from lawm_schemas import Mask

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.shard import Shard
from lawm_data.corpus.store import Store, open_store

GARBAGE = (np.nan, np.inf, -np.inf, 1e30, -7.0)
"""Values that no arithmetic survives; half of the garbage looks like real actions instead."""


def poisoned(path: str | Path, mask: str | Mask | None, seed: int = 0) -> Corpus:
    """A view of a corpus in which every action that the view hides is overwritten in memory.

    The files are not touched, and the true hidden actions are nowhere in what is returned.

    Args:
        path: folder of the corpus.
        mask: as in ``Corpus.with_mask``; without one, only unobserved steps are hidden.
        seed: of the garbage.

    Raises:
        LawmError: the corpus or the mask cannot be opened.
    """
    return _altered(path, mask, seed, hidden=True)


def altered(path: str | Path, mask: str | Mask | None, seed: int = 0) -> Corpus:
    """The same view with other actions where they are observed: training on it must differ."""
    return _altered(path, mask, seed, hidden=False)


def _altered(path: str | Path, mask: str | Mask | None, seed: int, hidden: bool) -> Corpus:
    store = open_store(Path(path))
    view = Corpus(store)
    view = view if mask is None else view.with_mask(mask)
    readable = np.ones(len(view), bool)
    if view.mask is not None:
        # Not from what the view shows: whether that is right is the question.
        readable = np.isin(store.table.id, view.mask.labeled)
    generator, shards = np.random.default_rng(seed), []
    for number, shard in enumerate(store.shards):
        here = (store.index.shard == number) & (store.index.action_row >= 0)
        shards.append(_overwritten(store, shard, here, readable, generator, hidden))
    view = Corpus(replace(store, shards=tuple(shards)))
    return view if mask is None else view.with_mask(mask)


def _overwritten(
    store: Store,
    shard: Shard,
    here: np.ndarray,
    readable: np.ndarray,
    generator: np.random.Generator,
    hidden: bool,
) -> Shard:
    if shard.actions is None:
        return shard
    shown = np.zeros(len(shard.actions), bool)
    for i in np.flatnonzero(here & readable):
        first = int(store.index.action_row[i])
        shown[first : first + int(store.index.length[i])] = True
    if shard.action_observed is not None:
        shown &= shard.action_observed
    chosen, actions = ~shown if hidden else shown, np.array(shard.actions)
    actions[chosen] = _garbage(store, (int(chosen.sum()), actions.shape[1]), generator, hidden)
    actions.flags.writeable = False
    return replace(shard, actions=actions)


def _garbage(
    store: Store, shape: tuple[int, int], generator: np.random.Generator, wild: bool
) -> np.ndarray:
    """Actions within their bounds and, where ``wild``, impossible ones in every second row."""
    spec = layout_of(store.manifest).action
    low, high = (np.ravel(bound) for bound in spec.bounds() or (np.array(-1.0), np.array(1.0)))
    values = generator.uniform(low, high, shape)
    if wild and np.dtype(spec.dtype).kind == "f":
        values[::2] = generator.choice(GARBAGE, values[::2].shape)
    return values.astype(spec.dtype)
