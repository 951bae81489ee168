"""What the runs of a study infer of hidden actions, beside their returns and what they cost.

Every finished run of the study infers actions that its mask hides, of trajectories all over the
corpus, and is judged by those that were recorded. Nothing is written beside the corpora. With
features the probes of their encoders stand beside that: R² of every field of the true state.

    lawm benchmark pixels --out runs/pixels
    python benchmarks/inputs.py runs/pixels/results.json --out benchmarks/results/inputs.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from lawm_schemas import CellResult, Results

from lawm_data import open_corpus
from lawm_data.corpus.features import FEATURES, feature_names, read_feature_set
from lawm_data.corpus.unexplained import r_squared
from lawm_models.runs.relabel import errors_against, hidden_trajectories, infer_labels
from lawm_models.training import seeding
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.versions import installed_versions


def judged(folder: Path, path: str, cell: CellResult, trajectories: int) -> dict[str, Any]:
    """Return, R² of inferred actions and CPU minutes of a cell; what is missing says why."""
    done = cell.state == "done"
    found = {
        "corpus": cell.corpus,
        "algorithm": cell.algorithm,
        "seed": cell.seed,
        "state": cell.state,
        "error": cell.error,
        "return_mean": cell.evaluation.return_mean if cell.evaluation else None,
        "cpu_minutes": None if cell.cpu_seconds is None else round(cell.cpu_seconds / 60, 2),
        "r2": inferred_r2(RunFolder.open(folder / cell.run), path, trajectories) if done else None,
    }
    print(found, flush=True)
    return found


def inferred_r2(run: RunFolder, path: str, trajectories: int) -> float | None:
    """R² of the actions that a run infers, mean over dimensions."""
    whole = open_corpus(path).observing(run.config.observe)
    view = whole.with_mask(str(run.config.corpora[0].mask))
    hidden = np.array(hidden_trajectories(view))
    places = np.unique(np.linspace(0, len(hidden) - 1, trajectories).astype(int))
    chosen = hidden[places].tolist()
    errors = errors_against(whole, chosen, list(infer_labels(run.trained()[0], view, chosen)))
    r2 = None if errors is None else r_squared(errors)
    return None if r2 is None else round(r2, 4)


def probes(results: Results) -> dict[str, dict[str, dict[str, float]]]:
    """R² of the true state from each set of features of each corpus."""
    found = {}
    for name, entry in results.study.corpora.items():
        path = Path(entry.path)
        sets = {n: read_feature_set(path / FEATURES / n) for n in feature_names(path)}
        found[name] = {n: info.probe for n, info in sets.items()}
    return found


def table(cells: Iterable[dict[str, Any]], titles: dict[str, str]) -> str:
    """Rows are algorithms, columns corpora: return, R² of inferred actions, CPU minutes."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    corpora: dict[str, None] = {}
    for cell in cells:
        grouped[cell["algorithm"], cell["corpus"]].append(cell)
        corpora[cell["corpus"]] = None
    lines = ["| | " + " | ".join(corpora) + " |", "|---|" + "--:|" * len(corpora)]
    for algorithm, title in titles.items():
        row = [_entry(grouped[algorithm, corpus]) for corpus in corpora]
        lines.append(f"| {title} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def _entry(cells: list[dict[str, Any]]) -> str:
    done = [cell for cell in cells if cell["state"] == "done"]
    if not done:
        return "not run" if cells else ""
    returns = [cell["return_mean"] for cell in done]
    spread = f" ± {stdev(returns):.0f}" if len(returns) > 1 else ""
    r2 = [cell["r2"] for cell in done if cell["r2"] is not None]
    minutes = [cell["cpu_minutes"] for cell in done if cell["cpu_minutes"] is not None]
    parts = [f"{mean(returns):.0f}{spread}"]
    parts.append(f"{mean(r2):.2f}" if r2 else "–")
    parts.append(f"{mean(minutes):.1f}" if minutes else "–")
    count = "" if len(done) == len(cells) else f" ({len(done)} of {len(cells)} seeds)"
    return "; ".join(parts) + count


def main() -> None:
    """Judge every cell, print the table and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("results", type=Path, help="results.json of a study")
    parser.add_argument("--trajectories", type=int, default=20, help="that actions are inferred of")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    results = Results.read_json(arguments.results)
    folder, corpora = arguments.results.parent, results.study.corpora
    with seeding.thread_limit(1):
        cells = [
            judged(folder, corpora[cell.corpus].path, cell, arguments.trajectories)
            for cell in results.cells
        ]
    titles = {name: entry.title or name for name, entry in results.study.algorithms.items()}
    print(table(cells, titles))
    document = {
        "command": shlex.join(["python", *sys.argv]),
        "benchmark": results.command,
        "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
        "versions": installed_versions(),
        "probe_r2": probes(results),
        "cells": cells,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
