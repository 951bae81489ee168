"""Differences between algorithms of a study, in pairs of runs.

Runs of one corpus, label budget and seed share their mask and the initial states of their episodes,
so two algorithms are compared in pairs. p is that of a two-sided sign-flip test: were there no
difference, each pair's could as well have the other sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from lawm_schemas import ConfigError, Results

MOST_PATTERNS = 1 << 16
"""Patterns of signs up to which all are tried; of more as many are drawn."""


class Pair(NamedTuple):
    """Two runs."""

    corpus: str
    seed: int
    difference: float
    """How much more the one algorithm returns than the other, on the scale of the scores."""


class Difference(NamedTuple):
    """One algorithm against another, with the same labels."""

    algorithm: str
    labels: float | str
    pairs: tuple[Pair, ...]
    """At least one."""

    @property
    def mean(self) -> float:
        """Over all pairs."""
        return fmean(pair.difference for pair in self.pairs)

    @property
    def by_corpus(self) -> Mapping[str, float]:
        """Means of each corpus that has pairs."""
        each: dict[str, list[float]] = {}
        for pair in self.pairs:
            each.setdefault(pair.corpus, []).append(pair.difference)
        return {corpus: fmean(found) for corpus, found in each.items()}

    @property
    def ahead(self) -> int:
        """Pairs in which the one algorithm returns more."""
        return sum(pair.difference > 0 for pair in self.pairs)

    @property
    def p(self) -> float:
        """Of the sign-flip test over all pairs; with n of them never below 2 / 2ⁿ."""
        return sign_flip([pair.difference for pair in self.pairs])


def difference(results: Results, one: str, other: str, labels: float | str) -> Difference:
    """Compare two algorithms on every corpus and seed on which both are finished.

    Raises:
        ConfigError: there is no such pair of runs.
    """
    first, second = (_scores(results, name, labels) for name in (one, other))
    pairs = [Pair(*key, first[key] - second[key]) for key in first if key in second]
    if not pairs:
        raise _nothing(results, one, [other], f"both {one} and {other}")
    return Difference(one, labels, tuple(pairs))


def differences(results: Results, against: str) -> tuple[Difference, ...]:
    """Compare every algorithm with one of them, for each label budget that both have.

    Args:
        results: of a study, finished or not.
        against: the one, by its name in the study.

    Raises:
        ConfigError: the study has no such algorithm, or no two runs to compare.
    """
    study = results.study
    others = [name for name in study.algorithms if name != against]
    if against not in study.algorithms:
        raise ConfigError(f"no algorithm {against!r}", results.name, f"name {' or '.join(others)}")
    found = []
    for labels in study.labels_of(against):
        rival = _scores(results, against, labels)
        for name in others:
            if rival.keys() & _scores(results, name, labels).keys():
                found.append(difference(results, name, against, labels))
    if not found:
        raise _nothing(results, against, others, f"{against} and of another algorithm")
    return tuple(found)


def _nothing(results: Results, one: str, others: Sequence[str], both: str) -> ConfigError:
    """Why there is no pair: runs are not finished, or their returns have no scale in common."""
    done: dict[str, set[tuple[str, float | str, int]]] = {name: set() for name in (one, *others)}
    for cell in results.cells:
        if cell.evaluation is not None and cell.algorithm in done:
            done[cell.algorithm].add((cell.corpus, cell.labels, cell.seed))
    if any(done[one] & done[other] for other in others):
        what = f"returns of {both} are of several corpora without a scale in common"
        hint = "compare on each corpus in a study of its own"
        return ConfigError(what, results.name, hint)
    what = f"no corpus and seed with finished runs of {both}"
    return ConfigError(what, results.name, "run the benchmark first")


def sign_flip(differences: Sequence[float]) -> float:
    """Share of the choices of signs whose sum is at least as far from zero as the one seen.

    All 2ⁿ are tried, or, where these are more than ``MOST_PATTERNS``, as many are drawn, always the
    same ones, and the one seen counts as another (Phipson & Smyth 2010).

    Args:
        differences: n ≥ 1 of them.
    """
    each = np.asarray(differences, float)
    limit = abs(each.sum()) - 1e-9 * np.abs(each).sum()  # what rounding may make of equal sums
    if 1 << len(each) <= MOST_PATTERNS:
        return float((np.abs(_all_sums(each)) >= limit).mean())
    signs = np.random.default_rng(0).integers(0, 2, (MOST_PATTERNS, len(each)), np.int8)
    far = np.abs((2 * signs - 1) @ each) >= limit
    return float((1 + far.sum()) / (1 + MOST_PATTERNS))


def _all_sums(each: Float[np.ndarray, " N"]) -> Float[np.ndarray, " S"]:
    sums = np.zeros(1)
    for value in each:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _scores(results: Results, algorithm: str, labels: float | str) -> dict[tuple[str, int], float]:
    """Normalised returns by corpus and seed; of a study of one corpus without a scale, returns."""
    finished = [cell for cell in results.cells if cell.evaluation is not None]
    plain = len(results.study.corpora) == 1 and any(
        cell.evaluation and cell.evaluation.normalized is None for cell in finished
    )
    found = {}
    for cell in finished:
        if (cell.algorithm, cell.labels) != (algorithm, labels) or cell.evaluation is None:
            continue
        seen = cell.evaluation
        score = seen.return_mean if plain else seen.normalized
        if score is not None:
            found[cell.corpus, cell.seed] = score
    return found
