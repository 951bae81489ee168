"""Several corpora by weight as one table of trajectories; their arrays have to agree."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int
from lawm_schemas import ConfigError, Manifest, Role

from lawm_data.batches.windows import spans
from lawm_data.corpus.agreement import require_joint
from lawm_data.corpus.layout import Layout
from lawm_data.corpus.overlay import require_same_mask
from lawm_data.corpus.table import ID_BYTES

if TYPE_CHECKING:
    from lawm_data.corpus.corpus import Corpus
    from lawm_data.corpus.shard import Shard


@dataclass(frozen=True, eq=False)
class Mixture:
    """Trajectories of all corpora, one after the other, as columns."""

    corpora: tuple[Corpus, ...]
    manifest: Manifest
    """The first one's, with the state and the action that all have."""
    weights: Float[np.ndarray, " C"]
    """Share of the windows, per corpus."""
    shards: tuple[Shard, ...]
    """Shards of all corpora; ``shard`` points here."""
    corpus: Int[np.ndarray, " N"]
    """Which corpus a trajectory is from."""
    first: Int[np.ndarray, " C"]
    """Where the trajectories of a corpus begin in this table."""
    length: Int[np.ndarray, " N"]
    shard: Int[np.ndarray, " N"]
    row: Int[np.ndarray, " N"]
    """Row of the first observation in ``Shard.steps``."""
    action_row: Int[np.ndarray, " N"]
    """Row of the first action in ``Shard.actions``; -1 where no action is to be read."""
    action_shard: Int[np.ndarray, " N"]
    """Where that row is: a number of ``shards``, and behind these of ``inferred``."""
    inferred: tuple[Float[np.ndarray, "_ A"], ...]
    """Inferred actions that are read as if they were observed."""
    overlays: tuple[str, ...]
    """Checksum of the inferred actions of each corpus; empty where none are read."""
    partial: Bool[np.ndarray, " N"]
    """Some of the readable actions are not observed."""
    terminated: Bool[np.ndarray, " N"]
    rewarded: Bool[np.ndarray, " N"]
    """The rewards were recorded."""
    final_observed: Bool[np.ndarray, " N"]
    """The last observation was recorded."""

    @property
    def layouts(self) -> list[Layout]:
        """How each of ``shards`` stores its arrays."""
        found = ((corpus.layout, len(corpus.shards)) for corpus in self.corpora)
        return [layout for layout, count in found for _ in range(count)]

    @property
    def complete(self) -> Bool[np.ndarray, " N"]:
        """Eq. 10's m: every action is readable and observed, or inferred and taken for it."""
        return (self.action_row >= 0) & ~self.partial

    def id(self, trajectory: int) -> str:
        """Name of a trajectory."""
        corpus = int(self.corpus[trajectory])
        return str(self.corpora[corpus].table.id[trajectory - self.first[corpus]])

    def observed(self, trajectory: Int[np.ndarray, " P"]) -> Bool[np.ndarray, " M"]:
        """Flags of the steps of some partially labeled trajectories, joined."""
        count = self.length[trajectory]
        flags = np.zeros(int(count.sum()), bool)
        owner = np.repeat(self.shard[trajectory], count)
        rows = spans(self.action_row[trajectory], count)
        for number in np.unique(owner):
            here = owner == number
            flags[here] = np.asarray(self.shards[number].action_observed)[rows[here]] != 0
        return flags

    def digest(self) -> list[str]:
        """One hash per corpus and view: which trajectories, and which actions can be read.

        Of no action itself, so that none that is hidden decides what is drawn. The same for the
        same content in other shards or another folder, and for a copy without what a mask hides.
        """
        views = []
        for number, corpus in enumerate(self.corpora):
            here = self.corpus == number
            view = hashlib.sha256(corpus.table.ids.astype(f"S{ID_BYTES}").tobytes())
            for part in (self.length[here], self.action_row[here] >= 0, self.partial[here]):
                view.update(part.astype("<i8").tobytes())
            view.update(self.overlays[number].encode())
            views.append(view.hexdigest())
        return views


def mix(corpora: Sequence[tuple[Corpus, float]], inferred: bool = False) -> Mixture:
    """Join the tables of corpora.

    Args:
        corpora: views with their weights.
        inferred: take actions that the views' overlays fill in for observed ones.

    Raises:
        ConfigError: no corpus, an empty one, a weight that is not positive, or arrays that do not
            go together, see ``require_joint``; or who inferred actions had seen others than the
            view's mask shows.
    """
    if not corpora:
        raise ConfigError("no corpus to draw from", "corpora", "give at least one")
    views = tuple(corpus for corpus, _ in corpora)
    for corpus, weight in corpora:
        if not (isfinite(weight) and weight > 0):
            raise ConfigError(f"weight {weight}", str(corpus.path), "give a number above 0")
        if not len(corpus):
            raise ConfigError("the view holds no trajectories", str(corpus.path), "widen it")
    state, action = require_joint(views)
    rest = tuple(s for s in views[0].manifest.observations if s.role is not Role.state)
    update = {"observations": (*state, *rest), "action": action}
    counts = np.array([len(corpus) for corpus in views])
    shards_before = np.cumsum([0, *(len(corpus.shards) for corpus in views)])
    index = [corpus.index for corpus in views]

    def join(columns: list[np.ndarray], dtype: type) -> np.ndarray:
        return np.concatenate(columns).astype(dtype)

    shard = join([i.shard + n for i, n in zip(index, shards_before, strict=False)], np.int64)
    action_row, action_shard = join([i.action_row for i in index], np.int64), shard.copy()
    partial = join([i.partial for i in index], bool)
    first, filled, overlays = np.cumsum(counts) - counts, [], [""] * len(views)
    for number, view in enumerate(views if inferred else ()):
        found, overlay = view.inferred, view.overlay
        if found is None or overlay is None:
            continue
        require_same_mask(view)
        rows, actions = found
        there = np.flatnonzero(rows >= 0)
        here = first[number] + there
        action_row[here], partial[here] = rows[there], False  # also of those that are missing
        action_shard[here] = shards_before[-1] + len(filled)
        filled.append(actions)
        overlays[number] = overlay.sha256
    return Mixture(
        corpora=views,
        manifest=views[0].manifest.model_copy(update=update),
        weights=np.array([weight for _, weight in corpora], float),
        shards=tuple(shard for corpus in views for shard in corpus.shards),
        corpus=np.repeat(np.arange(len(views)), counts),
        first=first,
        length=join([i.length for i in index], np.int64),
        shard=shard,
        row=join([i.row for i in index], np.int64),
        action_row=action_row,
        action_shard=action_shard,
        inferred=tuple(filled),
        overlays=tuple(overlays),
        partial=partial,
        terminated=join([corpus.table.terminated for corpus in views], bool),
        rewarded=join([corpus.table.rewarded for corpus in views], bool),
        final_observed=join([corpus.table.final_observed for corpus in views], bool),
    )
