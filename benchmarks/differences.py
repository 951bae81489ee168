"""Differences between one algorithm and all others of a study, in pairs of runs.

Runs of one corpus and seed share their mask and the initial states of their episodes, so they are
compared in pairs. p is that of a sign-flip test over all pairs, two-sided: how often a difference
as large as this comes out when the sign of each pair is drawn at random.

    python benchmarks/differences.py benchmarks/results/claim.json --of lawm_plus --labels 0.05
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lawm_schemas import Results


class Difference(NamedTuple):
    """One algorithm against another, with the same labels."""

    mean: float
    """Of normalised returns, over all pairs."""
    by_corpus: Mapping[str, float]
    pairs: int
    ahead: int
    """Pairs in which the first returns more."""
    p: float


def main() -> None:
    """Print a line for each other algorithm with these labels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("results", type=Path, help="results.json of a study")
    parser.add_argument("--of", default="lawm_plus", help="algorithm, by its name in the study")
    parser.add_argument("--labels", default="0.05", help="label budget of both")
    arguments = parser.parse_args()
    results = Results.read_json(arguments.results)
    here = {cell.algorithm for cell in results.cells if str(cell.labels) == arguments.labels}
    if arguments.of not in here:
        parser.error(f"no {arguments.of} with labels {arguments.labels}")
    for other in sorted(here - {arguments.of}):
        found = difference(results, arguments.of, other, arguments.labels)
        line = f"{found.mean:6.1f}  {found.ahead:2} of {found.pairs:2}  p {found.p:.3f}"
        each = ", ".join(f"{name} {mean:.1f}" for name, mean in found.by_corpus.items())
        print(f"{arguments.of} - {other:<18}{line}  {each}")


def difference(results: Results, one: str, other: str, labels: str) -> Difference:
    """Compare two algorithms of a study on every corpus and seed that both have."""
    first, second = scores(results, one, labels), scores(results, other, labels)
    pairs = {key: first[key] - second[key] for key in first if key in second}
    found = np.array(list(pairs.values()))
    corpora = dict.fromkeys(corpus for corpus, _ in pairs)
    return Difference(
        mean=float(found.mean()),
        by_corpus={
            name: float(np.mean([pairs[key] for key in pairs if key[0] == name]))
            for name in corpora
        },
        pairs=len(found),
        ahead=int((found > 0).sum()),
        p=sign_flip(found),
    )


def scores(results: Results, algorithm: str, labels: str) -> dict[tuple[str, int], float]:
    """Normalised returns by corpus and seed."""
    return {
        (cell.corpus, cell.seed): cell.evaluation.normalized
        for cell in results.cells
        if (cell.algorithm, str(cell.labels)) == (algorithm, labels)
        and cell.evaluation is not None
        and cell.evaluation.normalized is not None
    }


def sign_flip(differences: np.ndarray) -> float:
    """Share of all 2ⁿ choices of signs whose sum is at least as far from zero as the one seen.

    Args:
        differences: (n,), n of 20 at most.
    """
    sums = np.zeros(1)
    for value in differences:
        sums = np.concatenate([sums + value, sums - value])
    rounding = 1e-9 * np.abs(differences).sum()
    return float((np.abs(sums) >= abs(differences.sum()) - rounding).mean())


if __name__ == "__main__":
    main()
