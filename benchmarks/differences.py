"""Differences between one algorithm and all others of a study, in standard errors.

The difference of the means over seeds of normalised returns, over the root of the sum of both
means' squared standard errors (sample standard deviation / √seeds).

    python benchmarks/differences.py benchmarks/results/claim.json --of lawm_plus --labels 0.05
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
from lawm_schemas import Results


def main() -> None:
    """Print a line for each corpus, algorithm and label budget, and their averages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("results", type=Path, help="results.json of a study")
    parser.add_argument("--of", default="lawm_plus", help="algorithm, by its name in the study")
    parser.add_argument("--labels", default="0.05", help="its label budget")
    arguments = parser.parse_args()
    found = scores(Results.read_json(arguments.results))
    chosen = {corpus: (corpus, arguments.of, arguments.labels) for corpus, _, _ in found}
    if missing := [key for key in chosen.values() if key not in found]:
        parser.error(f"no {missing[0][1]} with labels {missing[0][2]} on {missing[0][0]}")
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for (corpus, algorithm, labels), other in found.items():
        one = found[chosen[corpus]]
        if one is not other:
            error = math.hypot(standard_error(one), standard_error(other))
            pairs[algorithm, labels].append((float(one.mean() - other.mean()), error))
            show(corpus, algorithm, labels, *pairs[algorithm, labels][-1])
    for (algorithm, labels), each in pairs.items():
        differences, errors = np.array(each).T
        show("average", algorithm, labels, differences.mean(), math.hypot(*errors) / len(each))


def show(corpus: str, algorithm: str, labels: str, difference: float, error: float) -> None:
    """A line."""
    told = f"{difference:6.1f} {difference / error:6.1f} SE"
    print(f"{corpus:<28}{algorithm:<18}{labels:<6}{told}")


def scores(results: Results) -> dict[tuple[str, str, str], np.ndarray]:
    """Normalised returns of the seeds (S,) by corpus, algorithm and label budget."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for cell in results.cells:
        if cell.evaluation is not None and cell.evaluation.normalized is not None:
            key = (cell.corpus, cell.algorithm, str(cell.labels))
            found.setdefault(key, []).append(cell.evaluation.normalized)
    return {key: np.array(each) for key, each in found.items()}


def standard_error(each: np.ndarray) -> float:
    """Of the mean of S ≥ 2 values."""
    return float(each.std(ddof=1) / len(each) ** 0.5)


if __name__ == "__main__":
    main()
