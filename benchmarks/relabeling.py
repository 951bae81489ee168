"""Inferred actions compared: by algorithm, by how they are inferred, and by the amount of labels.

Relabels the corpus of every run with it, under the name of the run folder (and once more by
smoothing, where ``--smoothing`` names its algorithm), in place of labels of that name, and judges
each corpus's labels by the recorded actions that the masks of all of these runs hide.

    python benchmarks/relabeling.py \
        runs/claim/runs/walker-walk-medium/{idm_td3_bc,lawm,lawm_plus}-5pct-seed0 \
        runs/labels/runs/walker-walk-medium/{idm_td3_bc,lawm_plus-free}-1pct-seed0 \
        --smoothing lawm --out benchmarks/results/relabeling.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from lawm_data import open_corpus
from lawm_data.inspection.label_error import compare_labels
from lawm_models.runs.relabel import Method, relabel
from lawm_models.training import seeding
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.versions import installed_versions


def label(run: RunFolder, smoothing: bool) -> list[str]:
    """Write the labels of a run, and tell their names."""
    methods: list[Method] = ["inverse", "smoothing"] if smoothing else ["inverse"]
    names = []
    for method in methods:
        name = run.path.name + ("" if method == "inverse" else f"-{method}")
        found = relabel(run, run.config.corpora[0].path, name, replace=True, method=method)
        print(f"{found['path']}: {found['trajectories']} trajectories", flush=True)
        names.append(name)
    return names


def main() -> None:
    """Relabel, compare and print; write JSON with ``--out``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--smoothing", nargs="*", default=[], help="also by it, these algorithms")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    if len({path.resolve().name for path in arguments.runs}) < len(arguments.runs):
        parser.error("runs of the same folder name would replace each other's labels")
    names: dict[str, list[str]] = defaultdict(list)
    with seeding.thread_limit(1):
        for path in arguments.runs:
            run = RunFolder.open(path)
            smoothing = run.config.algorithm.name in arguments.smoothing
            names[run.config.corpora[0].path] += label(run, smoothing)
    compared: dict[str, Any] = {
        Path(corpus).name: compare_labels(open_corpus(corpus), found)["overlays"]
        for corpus, found in names.items()
    }
    result = {
        "command": "python " + " ".join(sys.argv),
        "versions": installed_versions(),
        "corpora": compared,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    for corpus, overlays in compared.items():
        for name, found in overlays.items():
            r2 = "–" if found["r2"] is None else f"{found['r2']:.3f}"
            print(f"{corpus:<26} {name:<36} R² {r2}  NLL {found['nll']:.2f}")


if __name__ == "__main__":
    main()
