"""Statistics of a LeRobot set: of each episode, and of all together for ``stats.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lawm_data.corpus.latents import CODE, KNOWN, LATENT
from lawm_data.exchange.formats.lerobot.features import ACTION, LABELS, MEAN, OBSERVED, STD
from lawm_data.exchange.formats.lerobot.parquet import ParquetReader, from_column
from lawm_data.inspection.statistics import moments

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
NAMES = ("min", "max", "mean", "std", "count", *QUANTILES)
PICTURES = 100
"""Pictures of an episode that are looked at, evenly spaced."""
EDGE = 150
"""Rows and columns of a picture that are looked at, evenly spaced, at most twice as many."""

AT_ONCE = 64
"""Episodes that are counted in together."""
COLUMNS_BYTES = 1 << 28
"""Bytes of the columns that are held in memory for their quantiles; one column at least is."""

Stats = Mapping[str, np.ndarray]
"""Statistics by name; each has the shape of the feature, ``count`` is (1,)."""


def of_numbers(rows: np.ndarray) -> Stats:
    """Statistics of n rows of numbers (n, D), n at least 1."""
    return of_all({"": rows})[""]


def of_all(features: Mapping[str, np.ndarray]) -> dict[str, Stats]:
    """Statistics of several features, n rows of numbers (n, D) each, of a D of its own."""
    found: dict[str, Stats] = {}
    # NumPy adds up the numbers of one column in another order than those of several
    for alone in (True, False):
        some = {name: rows for name, rows in features.items() if (rows.shape[1] == 1) == alone}
        if not some:
            continue
        joined = _of_columns(np.concatenate([*some.values()], axis=1, dtype=np.float64), alone)
        start = 0
        for name, rows in some.items():
            stop = start + rows.shape[1]
            own = {key: value[start:stop] for key, value in joined.items()}
            found[name] = {**own, "count": np.array([len(rows)])}
            start = stop
    return {name: found[name] for name in features}


def _of_columns(values: np.ndarray, alone: bool) -> Stats:
    """Statistics of numbers (n, D), without their count; ``alone`` adds up column by column."""
    columns = np.ascontiguousarray(values.T)
    ordered = np.sort(columns, axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        summed, axis = (columns, 1) if alone else (values, 0)
        mean, std = np.nan_to_num(summed.mean(axis)), np.nan_to_num(summed.std(axis))
    return {
        "min": ordered[:, 0],
        "max": ordered[:, -1],
        "mean": mean,
        "std": std,
        **dict(zip(QUANTILES, _quantiles(ordered), strict=True)),
    }


def _quantiles(ordered: np.ndarray) -> np.ndarray:
    """(Q, D) quantiles of sorted numbers (D, n), to the bit those of ``np.quantile``."""
    last = ordered.shape[1] - 1
    at = last * np.array([*QUANTILES.values()])
    low = at.astype(np.int64)
    share, below, above = at - low, ordered[:, low], ordered[:, np.minimum(low + 1, last)]
    with np.errstate(over="ignore", invalid="ignore"):
        apart = above - below
        return np.where(share < 0.5, below + apart * share, above - apart * (1 - share)).T


class Levels(NamedTuple):
    """How often each channel of some pictures has each number."""

    counts: np.ndarray
    """(c, 256) or (c, 65536)."""
    pictures: int
    """How many were looked at."""

    def stats(self) -> Stats:
        """Statistics by channel, (c, 1, 1): of bytes as shares of 255, of depths as they are."""
        counts, most = self.counts, self.counts.shape[1] - 1
        level = np.arange(most + 1) / (255 if most == 255 else 1)
        total, below = counts.sum(1), counts.cumsum(1)
        mean = counts @ level / total
        found = {
            "min": level[(counts > 0).argmax(1)],
            "max": level[most - (counts[:, ::-1] > 0).argmax(1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(0, counts @ level**2 / total - mean**2)),
        }
        for name, share in QUANTILES.items():
            found[name] = level[(below >= share * total[:, None]).argmax(1)]
        shaped = {name: value.reshape(-1, 1, 1) for name, value in found.items()}
        return {**shaped, "count": np.array([self.pictures])}


def levels_of(pictures: np.ndarray) -> Levels:
    """What is counted of the pictures of an episode, (n, h, w, c) uint8 or uint16."""
    every = -(-len(pictures) // PICTURES)
    apart = max(1, max(pictures.shape[1:3]) // EDGE)
    seen = pictures[::every, ::apart, ::apart]
    most = np.iinfo(seen.dtype).max + 1
    channels = [np.bincount(seen[..., c].reshape(-1), minlength=most) for c in range(seen.shape[3])]
    return Levels(np.stack(channels), len(seen))


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
    """Statistics of all episodes together, for ``stats.json``.

    LeRobot's own recorder takes means of the episodes' quantiles. These are the quantiles of all
    frames: what is constant in each episode, such as a goal, would else have a spread of zero, by
    which LeRobot's policies divide.
    """

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, np.ndarray]] = {}
        self._waiting: dict[str, list[Stats]] = {}
        self._levels: dict[str, Levels] = {}

    def add(self, name: str, stats: Stats) -> None:
        """Count the numbers of an episode of one feature in."""
        waiting = self._waiting.setdefault(name, [])
        waiting.append(stats)
        if len(waiting) == AT_ONCE:
            self._count_in(name)

    def _count_in(self, name: str) -> None:
        """Count in what waits of a feature, one episode after the other."""
        some = self._waiting.pop(name, [])
        rows = {key: np.stack([stats[key] for stats in some]) for key in ("count", "min", "max")}
        mean, std = (np.stack([stats[key] for stats in some]) for key in ("mean", "std"))
        with np.errstate(over="ignore", invalid="ignore"):
            rows["mean"] = rows["count"] * mean.astype(np.float64)
            rows["square"] = rows["count"] * (np.square(std) + np.square(mean))
            if name in self._sums:
                before = self._sums[name]
                rows = {key: np.concatenate([before[key][None], rows[key]]) for key in rows}
            counted = rows["count"][:, 0] > 0
            if not counted.any():
                counted[-1] = True
            merges = {"min": np.minimum.reduce, "max": np.maximum.reduce}
            self._sums[name] = {
                key: merges[key](value[counted])
                if key in merges
                else np.add.accumulate(value[counted])[-1]
                for key, value in rows.items()
            }

    def add_levels(self, name: str, levels: Levels) -> None:
        """Count the pictures of an episode of one feature in."""
        before = self._levels.get(name, Levels(np.zeros_like(levels.counts), 0))
        both = before.counts + levels.counts, before.pictures + levels.pictures
        self._levels[name] = Levels(*both)

    def merged(self, files: Sequence[Path]) -> dict[str, dict[str, list]]:
        """``stats.json``.

        Args:
            files: the frames, as they were written.
        """
        for feature in list(self._waiting):
            self._count_in(feature)
        result = {}
        for feature, sums in self._sums.items():
            count = max(1, int(sums["count"][0]))
            found = {"mean": sums["mean"] / count}
            with np.errstate(over="ignore", invalid="ignore"):
                variance = sums["square"] / count - np.square(found["mean"])
            found["std"] = np.sqrt(np.maximum(0, np.nan_to_num(variance)))
            found |= {key: sums[key] for key in ("min", "max", "count")}
            found |= dict.fromkeys(QUANTILES, found["mean"])
            if sums["count"][0]:
                found |= dict(zip(QUANTILES, _over_frames(files, feature, found), strict=True))
            # numbers near the end of their range have infinite squares, which JSON cannot hold
            result[feature] = {name: np.nan_to_num(found[name]).tolist() for name in NAMES}
        for feature, levels in self._levels.items():
            found = levels.stats()
            result[feature] = {name: found[name].tolist() for name in NAMES}
        return result


def _over_frames(files: Sequence[Path], feature: str, found: Stats) -> np.ndarray:
    """(Q, D) quantiles of a feature over its frames; of actions over those that have one.

    Some columns are held in memory at a time.
    """
    count, width = int(found["count"][0]), len(found["mean"])
    some = max(1, COLUMNS_BYTES // (8 * count))
    inferred = feature in (MEAN, STD)
    flag = {ACTION: OBSERVED, LATENT: KNOWN, CODE: KNOWN}.get(feature)
    names_read = [feature, *([flag] if flag else [LABELS] if inferred else [])]
    parts = []
    for start in range(0, width, some):
        columns = np.empty((min(some, width - start), count))
        done = 0
        for file in files:
            reader = ParquetReader(file, names_read)
            for batch in reader.batches(8 * width):
                rows, _ = from_column(batch.column(feature), width, str(file))
                if flag:
                    rows = rows[from_column(batch.column(flag), 1, str(file))[0][:, 0]]
                if inferred:
                    rows = rows[np.array(batch.column(LABELS).to_pylist()) == "inferred"]
                columns[:, done : done + len(rows)] = rows[:, start : start + len(columns)].T
                done += len(rows)
            reader.close()
        with np.errstate(over="ignore", invalid="ignore"):
            parts.append(np.quantile(columns, [*QUANTILES.values()], axis=1, overwrite_input=True))
    return np.concatenate(parts, 1)
