"""Scores over seeds and corpora: means, interquartile means, intervals, profiles.

The interquartile mean, its stratified bootstrap interval and the performance profile are those of
Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lawm_models.probes.seeds import FEWEST

LEVEL = 0.95
"""Coverage of the intervals."""
RESAMPLES = 5000
"""Bootstrap samples."""
TRIM = 0.25
"""Share that the interquartile mean leaves out at each end."""


class Spread(NamedTuple):
    """Scores of the seeds of one run, in short."""

    mean: float
    """On the scale of the scores."""
    std: float | None
    """Standard deviation of the sample (n − 1); none of fewer than ``FEWEST`` seeds."""
    stderr: float | None
    """Standard error of the mean, from that; likewise."""
    seeds: int
    """How many there are."""


class ConfidenceInterval(NamedTuple):
    """A figure and its bootstrap interval; none where a corpus has fewer than ``FEWEST`` seeds."""

    value: float
    low: float | None
    """The ``(1 - LEVEL) / 2`` quantile of the bootstrap samples."""
    high: float | None
    """The ``(1 + LEVEL) / 2`` quantile."""


class Profile(NamedTuple):
    """Share of runs above each of K scores, and its interval, as in ``ConfidenceInterval``."""

    threshold: np.ndarray
    """(K,) scores."""
    share: np.ndarray
    """(K,) in [0, 1]."""
    low: np.ndarray | None
    """(K,) lower ends."""
    high: np.ndarray | None
    """(K,) upper ends."""


def spread(scores: Sequence[float]) -> Spread:
    """Mean and standard deviation over seeds."""
    values = np.asarray(scores, float)
    count, mean = len(values), float(values.mean())
    if count < FEWEST:
        return Spread(mean, None, None, count)
    std = float(values.std(ddof=1))
    return Spread(mean, std, std / float(np.sqrt(count)), count)


def iqm(strata: Sequence[Sequence[float]]) -> ConfidenceInterval:
    """Interquartile mean of all scores, with its stratified bootstrap interval.

    Args:
        strata: scores of the seeds on each corpus.
    """
    value = float(_trimmed_mean(np.concatenate([np.asarray(part, float) for part in strata])))
    if _few(strata):
        return ConfidenceInterval(value, None, None)
    low, high = _quantiles(_trimmed_mean(_resampled(strata)))
    return ConfidenceInterval(value, float(low), float(high))


def profile(strata: Sequence[Sequence[float]], threshold: np.ndarray) -> Profile:
    """Share of all runs with a score above each threshold.

    Args:
        strata: scores of the seeds on each corpus.
        threshold: (K,) scores.
    """

    def above(scores: np.ndarray) -> np.ndarray:
        return (scores[..., None] > threshold).mean(-2)

    value = above(np.concatenate([np.asarray(part, float) for part in strata]))
    if _few(strata):
        return Profile(threshold, value, None, None)
    low, high = _quantiles(above(_resampled(strata)))
    return Profile(threshold, value, low, high)


def _few(strata: Sequence[Sequence[float]]) -> bool:
    return min(map(len, strata)) < FEWEST


def _trimmed_mean(scores: np.ndarray) -> np.ndarray:
    """Mean over the last axis without its smallest and largest quarter."""
    count = scores.shape[-1]
    cut = int(TRIM * count)
    return np.sort(scores, -1)[..., cut : count - cut].mean(-1)


def _resampled(strata: Sequence[Sequence[float]]) -> np.ndarray:
    """(RESAMPLES, N) bootstrap samples of all N scores: seeds drawn anew within each corpus."""
    draws = np.random.default_rng(0)
    parts = [np.asarray(part, float) for part in strata]
    drawn = [part[draws.integers(len(part), size=(RESAMPLES, len(part)))] for part in parts]
    return np.concatenate(drawn, -1)


def _quantiles(samples: np.ndarray) -> np.ndarray:
    """Both ends of the interval, over the first axis (the percentile method)."""
    return np.quantile(samples, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
