"""Window starts: which are valid, which are labeled, and drawing them uniformly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

Short = Literal["drop", "pad", "error"]
"""What happens to trajectories shorter than the window."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of consecutive window starts. A run lies in one trajectory; runs do not overlap."""

    trajectory: Int[np.ndarray, " N"]
    """Trajectory of the run."""
    first: Int[np.ndarray, " N"]
    """Its first start, in steps from the beginning of the trajectory."""
    count: Int[np.ndarray, " N"]
    """How many starts it holds, at least 1."""

    def where(self, keep: np.ndarray) -> Runs:
        """Some of the runs, by flags or by places."""
        return Runs(self.trajectory[keep], self.first[keep], self.count[keep])

    def join(self, other: Runs) -> Runs:
        """Both, in the order of trajectories and starts."""
        joined = Runs(
            np.concatenate([self.trajectory, other.trajectory]),
            np.concatenate([self.first, other.first]),
            np.concatenate([self.count, other.count]),
        )
        return joined.where(np.lexsort((joined.first, joined.trajectory)))


def spans(first: Int[np.ndarray, " N"], count: Int[np.ndarray, " N"]) -> Int[np.ndarray, " M"]:
    """Join the ranges ``first[i] … first[i] + count[i] - 1``."""
    ends = np.cumsum(count)
    return np.repeat(first - ends + count, count) + np.arange(ends[-1] if len(ends) else 0)


def valid_starts(length: Int[np.ndarray, " N"], window: int, short: Short) -> Runs:
    """Starts from which ``window`` steps stay inside their trajectory: ``length - window + 1``.

    A shorter trajectory has one start, its first step, when ``short`` is ``pad``, else none.
    """
    fewest = 1 if short == "pad" else 0
    count = np.maximum(length.astype(np.int64) - window + 1, fewest)
    every = Runs(np.arange(len(length)), np.zeros(len(length), np.int64), count)
    return every.where(count > 0)


def split_partial(
    runs: Runs, length: Int[np.ndarray, " N"], observed: Bool[np.ndarray, " M"], window: int
) -> tuple[Runs, Runs]:
    """Divide the starts of partially labeled trajectories by the steps of their windows.

    Args:
        runs: every valid start of N trajectories, none shorter than the window; one run each.
        length: their lengths, (N,).
        observed: their flags, joined, (sum of ``length``,).
        window: T.

    Returns:
        Starts whose T actions are all observed, and all others.
    """
    if not len(runs.count):
        return runs, runs
    seen = np.concatenate([[0], np.cumsum(observed)])
    begin = spans(np.cumsum(length) - length, runs.count)
    full = seen[begin + window] - seen[begin] == window
    borders = np.cumsum(runs.count) - runs.count
    edges = np.union1d(borders, np.flatnonzero(np.diff(full)) + 1)
    owner = np.searchsorted(borders, edges, side="right") - 1
    count = np.diff(edges, append=len(full))
    pieces = Runs(runs.trajectory[owner], edges - borders[owner], count)
    return pieces.where(full[edges]), pieces.where(~full[edges])


class Pool:
    """Starts to draw from: a corpus by its weight, then a start in it, all equally likely.

    A corpus without starts here takes no part; the others share its weight.

    Args:
        runs: the starts, in the order of trajectories.
        corpus: corpus of each run, (N,), ascending.
        weights: one per corpus, (C,).
        beyond: starts that are also drawn before and after each run, and moved to its first and
            its last.
    """

    def __init__(
        self,
        runs: Runs,
        corpus: Int[np.ndarray, " N"],
        weights: Float[np.ndarray, " C"],
        beyond: int = 0,
    ) -> None:
        self._runs, self._beyond = runs, beyond
        ranks = runs.count + 2 * beyond
        self._ends = np.cumsum(ranks)
        self._before = self._ends - ranks
        self._equal = int(ranks[0]) if len(np.unique(ranks)) == 1 else 0
        bounds = np.searchsorted(corpus, np.arange(len(weights) + 1))
        totals = np.concatenate([[0], self._ends])[bounds]
        self._base, self.counts = totals[:-1], np.diff(totals)
        shares = np.cumsum(np.where(self.counts > 0, weights, 0.0))
        self._shares = shares / shares[-1] if shares[-1] > 0 else shares
        self.numbers = min(len(weights), 2)
        """How many numbers a draw takes: the last one is for the start."""

    def __len__(self) -> int:
        """Number of starts."""
        return int(self._runs.count.sum())

    @property
    def trajectories(self) -> Int[np.ndarray, " N"]:
        """Those with a start, one for each run."""
        return self._runs.trajectory

    def draw(
        self, uniform: Float[np.ndarray, "*S numbers"]
    ) -> tuple[Int[np.ndarray, "*S"], Int[np.ndarray, "*S"]]:
        """Trajectories and starts for numbers in [0, 1), ``numbers`` for each window.

        Rounding favours no start by more than the number of starts times 2⁻⁵³.
        """
        base, count = self._base[0], self.counts[0]
        if self.numbers == 2:
            corpus = np.searchsorted(self._shares, uniform[..., 0], side="right")
            base, count = self._base[corpus], self.counts[corpus]
        rank = base + (uniform[..., -1] * count).astype(np.int64)
        run = self._find(rank)
        place = rank - self._before[run]
        if self._beyond:
            place = np.clip(place - self._beyond, 0, self._runs.count[run] - 1)
        return self._runs.trajectory[run], self._runs.first[run] + place

    def _find(self, rank: Int[np.ndarray, "*S"]) -> Int[np.ndarray, "*S"]:
        """Run of each rank. In ascending order the search stays in the cache: twice as fast."""
        if self._equal:
            return rank // self._equal
        flat = rank.reshape(-1)
        order = np.argsort(flat)
        run = np.empty_like(flat)
        run[order] = np.searchsorted(self._ends, flat[order], side="right")
        return run.reshape(rank.shape)


def uniforms(key: int, pool: int, block: int, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers in [0, 1) as a pure function of the arguments.

    Philox is counter-based (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
    Pool and block stand in the high words of its counter, so no two streams overlap. Raw words
    are used because NumPy promises them, and not its distributions, to stay what they are.

    Args:
        key: 128 bits.
        pool: which stream.
        block: which part of the stream, the unit of resuming.
        shape: how many numbers.
    """
    philox = np.random.Philox(key=key, counter=np.array([0, 0, pool, block], np.uint64))
    raw = philox.random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(11)) * 2.0**-53).reshape(shape)
