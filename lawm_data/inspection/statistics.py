"""Statistics of a view that need its arrays: read in blocks, whatever the size of the corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, Role

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.layout import element_names

BLOCK_BYTES = 1 << 24
"""Largest block, counted in float64."""


def observation_blocks(corpus: Corpus, spec: ArraySpec) -> Iterator[np.ndarray]:
    """All rows of one observation array of a view, T+1 for each trajectory, in no fixed order.

    Yields:
        (n, size) of the stored type; pixels come as (n · height · width, channels).
    """
    columns = {packed.name: part for packed, part in corpus.layout.packed}
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


NEAR_CONSTANT = 1e-4
"""A dimension is near-constant when its standard deviation is at most this share of its largest
magnitude."""
AT_BOUND = 1e-3
"""An action is at a bound when it is nearer to it than this share of the range."""


class Moments(NamedTuple):
    """What is known of n rows of D numbers, and merges with that of other rows."""

    rows: int
    """n."""
    mean: np.ndarray
    """(D,) float64."""
    squares: np.ndarray
    """(D,) float64: sum of squared distances from the mean."""
    low: np.ndarray
    """(D,) float64: smallest."""
    high: np.ndarray
    """(D,) float64: largest."""

    @property
    def std(self) -> np.ndarray:
        """(D,) population standard deviation."""
        return np.sqrt(self.squares / self.rows)

    def merged(self, other: Moments) -> Moments:
        """Of the rows of both, by Chan's update."""
        rows, apart = self.rows + other.rows, other.mean - self.mean
        return Moments(
            rows,
            self.mean + apart * (other.rows / rows),
            self.squares + other.squares + np.square(apart) * (self.rows * other.rows / rows),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )


def moments(blocks: Iterable[np.ndarray]) -> Moments | None:
    """Moments of all rows of the blocks, each (n, D); None when there is no row.

    Blocks are merged by ``Moments.merged``, which stays exact where sums of squares cancel. What
    is too large for float64 is infinite, or NaN.
    """
    total = None
    for block in blocks:
        if len(block):
            # the square of what is left of 1e300 after the mean is more than any float
            with np.errstate(over="ignore", invalid="ignore"):
                block = np.asarray(block, np.float64)
                mean = block.mean(0)
                squares = np.square(block - mean).sum(0)
                part = Moments(len(block), mean, squares, block.min(0), block.max(0))
                total = part if total is None else total.merged(part)
    return total


def measure(corpus: Corpus) -> dict[str, Any]:
    """Statistics that ``lawm-data info --stats`` adds, as JSON-able values with stable keys.

    Only actions that the view shows as observed are read: none that a mask hides, none that a
    model inferred.
    """
    constant, observations = [], []
    for spec in corpus.manifest.observations:
        found = moments(observation_blocks(corpus, spec))
        names = element_names(spec)
        observations.append({"name": spec.name, "elements": names, **_as_lists(found)})
        constant += _near_constant(spec, found)
    spec = corpus.manifest.action
    found = moments(action_blocks(corpus))
    actions = None
    if found is not None:
        constant += _near_constant(spec, found)
        actions = {
            "steps": found.rows,
            "elements": element_names(spec),
            **_as_lists(found),
            **_at_bounds(corpus, found.rows),
        }
    return {
        "observations": observations,
        "actions": actions,
        "near_constant": constant,
        "duplicates": duplicates(corpus),
    }


def duplicates(corpus: Corpus) -> list[list[str]]:
    """Ids of trajectories with equal observations and rewards, in groups of two or more.

    Actions are not compared: what a mask hides must not show. Pixels are only compared where
    nothing else is observed.
    """
    table, index = corpus.table, corpus.index
    key = np.stack([table.length, table.episode_return.view(np.int64)], 1)
    _, kind, count = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    groups: dict[bytes, list[str]] = {}
    # only those that agree in length and return can be equal, so few are read
    for i in np.flatnonzero(count[kind.reshape(-1)] > 1).tolist():
        shard, row = corpus.shards[index.shard[i]], int(index.row[i])
        rows = slice(row, row + int(table.length[i]) + 1)
        content = hashlib.blake2b(shard.steps[rows].tobytes(), digest_size=16)
        bare = not any(spec.role is Role.state for spec in corpus.manifest.observations)
        for spec in corpus.manifest.observations:
            if spec.name in shard.fields and (bare or spec.role is not Role.pixels):
                content.update(np.asarray(shard.fields[spec.name][rows]).tobytes())
        groups.setdefault(content.digest(), []).append(str(table.id[i]))
    return [ids for ids in groups.values() if len(ids) > 1]


def _as_lists(found: Moments | None) -> dict[str, list[float] | None]:
    if found is None:
        return dict.fromkeys(("mean", "std", "min", "max"))
    arrays = {"mean": found.mean, "std": found.std, "min": found.low, "max": found.high}
    return {name: array.tolist() for name, array in arrays.items()}


def _near_constant(spec: ArraySpec, found: Moments | None) -> list[str]:
    if found is None:
        return []
    size = np.maximum(np.abs(found.low), np.abs(found.high))
    still = found.std <= NEAR_CONSTANT * size
    return [name for name, is_still in zip(element_names(spec), still, strict=True) if is_still]


def _at_bounds(corpus: Corpus, steps: int) -> dict[str, list[float] | None]:
    """Share of the observed actions at each bound."""
    bounds = corpus.manifest.action.bounds()
    if bounds is None:
        return {"at_low": None, "at_high": None}
    low, high = (bound.reshape(-1) for bound in bounds)
    near = AT_BOUND * (high - low)
    count = np.zeros((2, len(low)), np.int64)
    for block in action_blocks(corpus):
        count += ((block <= low + near).sum(0), (block >= high - near).sum(0))
    return {"at_low": (count[0] / steps).tolist(), "at_high": (count[1] / steps).tolist()}
