"""Histograms of arrays that need not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

BINS = 40


class Histogram(NamedTuple):
    """How often the values of one dimension fall into equal bins."""

    edges: np.ndarray
    """(K+1,) float64."""
    counts: np.ndarray
    """(K,) int64."""


def histograms(
    blocks: Callable[[], Iterable[np.ndarray]], low: np.ndarray, high: np.ndarray
) -> list[Histogram]:
    """A histogram of each of D dimensions.

    Args:
        blocks: gives all rows, (n, D) at a time.
        low: (D,) smallest values.
        high: (D,) largest values; a constant gets one full bin in the middle.
    """
    width = np.where(high > low, high - low, 1.0)
    start = np.where(high > low, low, low - 0.5)
    counts = np.zeros((len(low), BINS), np.int64)
    for block in blocks():
        place = ((block - start) / width * BINS).astype(np.int64).clip(0, BINS - 1)
        for dimension, column in enumerate(place.T):
            counts[dimension] += np.bincount(column, minlength=BINS)
    steps = np.linspace(0, 1, BINS + 1)
    return [Histogram(start[d] + steps * width[d], counts[d]) for d in range(len(low))]


def nice_edges(low: float, high: float, most: int = 40) -> np.ndarray:
    """Edges of at most ``most`` bins at round numbers that cover ``low`` to ``high``."""
    span = max(high - low, abs(high) * 1e-6, 1e-9)
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(power * m for m in (1, 2, 2.5, 5, 10, 20) if span / (power * m) <= most - 1)
    first, last = np.floor(low / step), np.floor(high / step) + 1
    return np.arange(first, last + 1) * step
