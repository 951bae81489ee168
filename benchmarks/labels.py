"""Returns against labels: LAWM with few labels, with all of them, and behaviour cloning on the few.

Trains every cell that is not finished (the same command goes on where it was stopped), then
collects the final evaluations of all run folders. The corpora must exist; masks are made.

    python benchmarks/labels.py --corpus shipped --preset demo --seeds 0 1 2 --stratify return \
        --runs runs/demo --out benchmarks/results/demo.json
    python benchmarks/labels.py --corpus corpora/ww --preset small --seeds 0 1 \
        --runs runs/ww --out benchmarks/results/walker.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lawm_schemas import CorpusSource

from lawm_data import Corpus, make_mask, open_corpus, save_mask
from lawm_data.curation.shipped import unpack_corpus
from lawm_models import Run, configure, train

Stratify = Literal["return", "source"] | None


class Cell(NamedTuple):
    """One row of the result: an algorithm with a share of the labels."""

    algorithm: str
    percent: int

    @property
    def name(self) -> str:
        """Used in the names of run folders and as the key of the result."""
        return f"{self.algorithm}-{self.percent}"


CELLS = (Cell("lawm", 5), Cell("lawm", 100), Cell("bc", 5))


def main() -> None:
    """Parse arguments, train what is missing and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--corpus", required=True, help="folder of a corpus, or: shipped")
    parser.add_argument("--preset", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--stratify", choices=["return", "source"], help="of the masks")
    parser.add_argument("--cells", nargs="+", default=[cell.name for cell in CELLS])
    parser.add_argument("--runs", required=True, help="prefix of the run folders")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    path = Path(arguments.corpus)
    if arguments.corpus == "shipped":
        path = unpack_corpus(Path(f"{arguments.runs}-corpus"))
    corpus = open_corpus(path)
    cells = [cell for cell in CELLS if cell.name in arguments.cells]
    runs: dict[str, list[Run]] = {cell.name: [] for cell in cells}
    for seed in arguments.seeds:
        for cell in cells:
            out = Path(f"{arguments.runs}-{cell.name}-{seed}")
            print(out, file=sys.stderr, flush=True)
            run = _train(corpus, cell, arguments.preset, seed, arguments.stratify, out)
            runs[cell.name].append(run)
    result = {
        "command": "python " + " ".join(sys.argv),
        "preset": arguments.preset,
        "corpus": _described(corpus),
        "cells": {name: _cell(found) for name, found in runs.items()},
        "versions": next(iter(runs.values()))[0].record.versions,
    }
    text = json.dumps(result, indent=2) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


def _train(
    corpus: Corpus, cell: Cell, preset: str, seed: int, stratify: Stratify, out: Path
) -> Run:
    mask = None
    if cell.percent < 100:
        mask = f"{cell.percent}pct-{seed}"
        if mask not in corpus.masks():
            fraction = cell.percent / 100
            save_mask(corpus, make_mask(corpus, fraction, seed, mask, stratify=stratify))
    source = CorpusSource(path=str(corpus.path), mask=mask)
    return train(configure(source, algorithm=cell.algorithm, preset=preset, seed=seed), out)


def _described(corpus: Corpus) -> dict[str, Any]:
    returns = corpus.table.episode_return
    return {
        "fingerprint": corpus.fingerprint,
        "trajectories": len(corpus),
        "return_mean": float(returns.mean()),
        "return_max": float(returns.max()),
    }


def _cell(runs: list[Run]) -> dict[str, Any]:
    finished = [(run, run.evaluation) for run in runs]
    means = [evaluation.return_mean for _, evaluation in finished if evaluation]
    return {
        "labeled": [run.record.corpora[0].labeled for run in runs],
        "return_mean": statistics.mean(means),
        "return_std_over_seeds": statistics.pstdev(means),
        "seeds": [run.config.seed for run in runs],
        "returns": means,
        "return_std_over_episodes": [e.return_std for _, e in finished if e],
        "episodes": [e.episodes for _, e in finished if e],
        "minutes": [round(run.metrics[-1]["elapsed"] / 60, 1) for run in runs],
        "steps": runs[0].config.steps,
    }


if __name__ == "__main__":
    main()
