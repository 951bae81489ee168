"""Statistics as LeRobot keeps them: of each episode, and of all together.

Those of the actions are over observed ones only. LeRobot's own would take the zeros that stand
where no action was recorded for actions, and a single NaN would make all of them NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from lawm_data.inspection.statistics import moments

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
NAMES = ("min", "max", "mean", "std", "count", *QUANTILES)
PICTURES = 100
"""Pictures of an episode that are looked at, evenly spaced."""
EDGE = 150
"""Rows and columns of a picture that are looked at, evenly spaced, at most twice as many."""

Stats = Mapping[str, np.ndarray]
"""Statistics by name; each has the shape of the feature, ``count`` is (1,)."""


def of_numbers(rows: np.ndarray) -> Stats:
    """Statistics of n rows of numbers (n, D), n at least 1."""
    values = rows.astype(np.float64)
    at = np.quantile(values, [*QUANTILES.values()], axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = np.nan_to_num(values.mean(0)), np.nan_to_num(values.std(0))
    return {
        "min": values.min(0),
        "max": values.max(0),
        "mean": mean,
        "std": std,
        "count": np.array([len(values)]),
        **dict(zip(QUANTILES, at, strict=True)),
    }


def of_pictures(pictures: np.ndarray) -> Stats:
    """Statistics of pictures (n, h, w, c) uint8 by channel, (c, 1, 1), as shares of 255."""
    every = -(-len(pictures) // PICTURES)
    apart = max(1, max(pictures.shape[1:3]) // EDGE)
    seen = pictures[::every, ::apart, ::apart]
    counts = np.stack([np.bincount(seen[..., c].reshape(-1), minlength=256) for c in _last(seen)])
    level = np.arange(256) / 255
    total, below = counts.sum(1), counts.cumsum(1)
    mean = counts @ level / total
    found = {
        "min": level[(counts > 0).argmax(1)],
        "max": level[255 - (counts[:, ::-1] > 0).argmax(1)],
        "mean": mean,
        "std": np.sqrt(np.maximum(0, counts @ level**2 / total - mean**2)),
    }
    for name, share in QUANTILES.items():
        found[name] = level[(below >= share * total[:, None]).argmax(1)]
    shaped = {name: value.reshape(-1, 1, 1) for name, value in found.items()}
    return {**shaped, "count": np.array([len(seen)])}


def of_nothing(blocks: Iterable[np.ndarray], width: int) -> Stats:
    """What an episode without observed actions is given: it changes nothing in a total.

    Its count is 0, so that it has no weight in means, and its extremes are those of all observed
    actions.

    Args:
        blocks: all observed actions of the corpus, (n, A) each.
        width: A.
    """
    found = moments(blocks)
    zero = np.zeros(width)
    mean = zero if found is None else found.mean
    return {
        "min": zero if found is None else found.low,
        "max": zero if found is None else found.high,
        "mean": mean,
        "std": zero if found is None else found.std,
        "count": np.array([0]),
        **dict.fromkeys(QUANTILES, mean),
    }


class Total:
    """Statistics of all episodes together, from those of each, as LeRobot puts them together.

    Exact but for the quantiles, which are means over the episodes, weighted by their length.
    """

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, np.ndarray]] = {}

    def add(self, name: str, stats: Stats) -> None:
        """Count an episode of one feature in."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._add(name, stats)

    def _add(self, name: str, stats: Stats) -> None:
        count = stats["count"][0]
        here = {key: count * np.asarray(stats[key], np.float64) for key in ("mean", *QUANTILES)}
        here["square"] = count * (np.square(stats["std"]) + np.square(stats["mean"]))
        here |= {key: stats[key] for key in ("count", "min", "max")}
        before = self._sums.get(name)
        if before is None:
            self._sums[name] = here
            return
        for key, value in here.items():
            merge = {"min": np.minimum, "max": np.maximum}.get(key, np.add)
            before[key] = merge(before[key], value)

    def told(self) -> dict[str, dict[str, list]]:
        """``stats.json``."""
        return {name: self._told(sums) for name, sums in self._sums.items()}

    def _told(self, sums: Mapping[str, np.ndarray]) -> dict[str, list]:
        count = max(1, int(sums["count"][0]))
        found = {key: sums[key] / count for key in ("mean", *QUANTILES)}
        with np.errstate(over="ignore", invalid="ignore"):
            variance = sums["square"] / count - np.square(found["mean"])
        found["std"] = np.sqrt(np.maximum(0, np.nan_to_num(variance)))
        found |= {key: sums[key] for key in ("min", "max", "count")}
        # numbers near the end of their range have squares that are none; JSON has no infinity
        return {name: np.nan_to_num(found[name]).tolist() for name in NAMES}


def _last(array: np.ndarray) -> range:
    return range(array.shape[-1])
