"""How much of the state space corpora visit, counted on a grid that they share.

Every dimension of the state is cut into equal bins between its smallest and largest value in any
of the corpora. With many dimensions every step has a cell of the joint grid for itself, so cells
are counted in each plane of two dimensions too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float
from lawm_schemas import ConfigError

from lawm_data.corpus.corpus import Corpus


class Grid(NamedTuple):
    """Equal bins for every dimension of the state; values outside count for the outermost bins."""

    low: Float[np.ndarray, " O"]
    """Where the first bin begins."""
    high: Float[np.ndarray, " O"]
    """Where the last bin ends."""
    bins: int
    """B, bins per dimension."""

    @classmethod
    def over(cls, corpora: Sequence[Corpus], bins: int = 20) -> Self:
        """The grid between the extremes of several corpora.

        Raises:
            ConfigError: nothing to span a grid, or corpora of different observations.
        """
        if len({corpus.manifest.state for corpus in corpora}) > 1:
            names = ", ".join(str(corpus.path) for corpus in corpora)
            raise ConfigError("have different observations", names, "compare like with like")
        states = [t.observations.state for corpus in corpora for t in corpus]
        if not states or states[0].shape[1] < 2:
            raise ConfigError(
                "coverage needs trajectories with two state dimensions or more",
                ", ".join(str(corpus.path) for corpus in corpora),
                "collect some, or record the state",
            )
        low = np.min([state.min(0) for state in states], axis=0)
        high = np.max([state.max(0) for state in states], axis=0)
        return cls(low, high, bins)

    def cells(self, state: Float[np.ndarray, "R O"]) -> np.ndarray:
        """Bin of every value, (R, O) int64 in [0, B)."""
        width = np.where(self.high > self.low, self.high - self.low, 1)
        return np.clip((state - self.low) / width * self.bins, 0, self.bins - 1).astype(np.int64)


class Coverage(NamedTuple):
    """What a corpus occupies of a grid."""

    share: float
    """Occupied share of the B × B cells, mean over all O(O−1)/2 planes of two dimensions."""
    cells: int
    """Occupied cells of the grid over all O dimensions: at most the number of observations."""


def coverage(trajectories: Iterable[np.ndarray], grid: Grid) -> Coverage:
    """Count the cells that states visit.

    Args:
        trajectories: states of each, (T+1, O).
        grid: the same for everything that is compared.
    """
    bins = grid.bins
    left, right = np.array(list(combinations(range(len(grid.low)), 2))).T
    planes = np.zeros((len(left), bins * bins), dtype=bool)
    joint: set[bytes] = set()
    for state in trajectories:
        cells = grid.cells(state)
        planes[np.arange(len(left)), cells[:, left] * bins + cells[:, right]] = True
        joint.update(row.tobytes() for row in np.unique(cells, axis=0))
    return Coverage(float(planes.mean()), len(joint))
