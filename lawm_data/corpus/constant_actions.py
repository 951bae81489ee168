"""Actions that never change: what is left where lost actions were stored as zeros."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from lawm_data.corpus.agreement import command
from lawm_data.corpus.corpus import Corpus

Kind = Literal["varied", "zero", "constant"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What the observed actions of a trajectory are; its place here is its code."""
VARIED, ZERO, CONSTANT = range(3)
FEWEST = 2
"""Observed actions below which nothing is said: one alone is always constant."""
FEWEST_CHOICES = 10
"""The same for actions that are chosen among few: some equal ones in a row are nothing odd."""
LOOKED_AT = 100_000
"""Trajectories of a larger corpus that a quick look is taken at, evenly spread."""


class Inert(NamedTuple):
    """What was found among trajectories whose actions count as observed."""

    zero: int
    """Trajectories of which every action is zero."""
    constant: int
    """Trajectories of which all actions are one and the same, and not zero."""

    def warnings(self, path: Path) -> Iterator[tuple[str, str]]:
        """For each kind what there is, and the edit of the corpus that calls them missing."""
        for kind, count in (("zero", self.zero), ("constant", self.constant)):
            if count:
                some = "a trajectory are" if count == 1 else f"{count:,} trajectories are"
                same = "all zero" if kind == "zero" else "always the same"
                mend = command(path, (), "--missing-where", f'actions == "{kind}"')
                what = f"the actions of {some} {same}, and count as observed"
                yield what, f"if they were lost: {mend}"


def inert_actions(corpus: Corpus, most: int | None = None) -> Inert:
    """Look for trajectories whose observed actions never change.

    Args:
        corpus: the view; of what it hides nothing is read.
        most: trajectories to look at, evenly spread; None looks at all.
    """
    view = corpus
    if most is not None and len(corpus) > most:
        view = corpus[np.linspace(0, len(corpus) - 1, most).astype(np.int64)]
    kinds = action_kinds(view)
    return Inert(int((kinds == ZERO).sum()), int((kinds == CONSTANT).sum()))


def action_kinds(corpus: Corpus) -> np.ndarray:
    """(N,) int8: place in ``KINDS`` for each trajectory of a view; -1 where it shows no action."""
    index, action = corpus.index, corpus.manifest.action
    fewest = FEWEST if action.dtype.startswith("float") else FEWEST_CHOICES
    kinds = np.full(len(corpus), -1, np.int8)
    shown = (index.action_row >= 0) & (corpus.table.num_observed > 0)
    kinds[shown] = VARIED
    enough = shown & (corpus.table.num_observed >= fewest)
    for number in sorted(set(index.shard[enough].tolist())):
        shard = corpus.shards[number]
        here = np.flatnonzero(enough & (index.shard == number))
        assert shard.actions is not None
        first, last = index.action_row[here], index.action_row[here] + index.length[here] - 1
        ends = shard.actions[first] == shard.actions[last]
        # three rows tell most trajectories apart; only the others are read
        ends &= shard.actions[first] == shard.actions[(first + last) // 2]
        for i in here[ends.all(axis=1) | index.partial[here]].tolist():
            rows = slice(int(index.action_row[i]), int(index.action_row[i] + index.length[i]))
            actions = shard.actions[rows]
            if index.partial[i] and shard.action_observed is not None:
                actions = actions[np.asarray(shard.action_observed[rows]) != 0]
            if (actions == actions[0]).all():
                kinds[i] = CONSTANT if actions[0].any() else ZERO
    return kinds
