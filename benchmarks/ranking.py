"""Do world models know which policy is best? What they say of policies, beside the environment.

Policies are judged by several sets of world models, for example those that learned from labeled
trajectories alone and those that learned from all. Told are Spearman's rank correlation with the
returns of the evaluations that ended the trainings; the mean distance from them; and what is lost
by taking the policy that the models call best instead of the best one.

    lawm benchmark prior --out runs/prior
    R=runs/prior/runs/cartpole-swingup
    python benchmarks/ranking.py $R/* --models clap $R/clap-2pct-seed? \
        --models lawm $R/lawm-2pct-seed? --out benchmarks/results/ranking.json
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from scipy.stats import rankdata

from lawm_data.system.atomic import write_file
from lawm_data.system.terminal import Bars
from lawm_models import load_run, rank


def judged(runs: list[Path], models: list[Path], starts: int) -> dict[str, Any]:
    """What a set of world models says of policies that were evaluated."""
    with Bars() as bars:
        found = rank(runs, models, starts=starts, progress=bars.of("policies in models"))
    rows = found["policies"]
    true = [row["evaluated"] for row in rows]
    told: dict[str, Any] = {"models": [model["run"] for model in found["models"]]}
    for key in ("mean", "lowest"):
        said = [row[key] for row in rows]
        best = max(range(len(rows)), key=said.__getitem__)
        told[key] = {
            "rank_correlation": round(float(np.corrcoef(rankdata(said), rankdata(true))[0, 1]), 3),
            "distance": round(fmean(abs(a - b) for a, b in zip(said, true, strict=True)), 1),
            "chosen": rows[best]["run"],
            "lost": round(max(true) - true[best], 1),
        }
    told["policies"] = [
        {key: row[key] for key in ("run", "returns", "mean", "lowest", "evaluated")} for row in rows
    ]
    return {"starts": found["starts"], "steps": found["steps"], **told}


def main() -> None:
    """Judge, print a table, and write JSON with ``--out``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("policies", type=Path, nargs="+", help="run folders")
    parser.add_argument(
        "--models",
        nargs="+",
        action="append",
        required=True,
        metavar=("NAME", "RUN"),
        help="a set of world models; may be given several times",
    )
    parser.add_argument("--starts", type=int, default=50, help="episodes in each model")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    runs = [path for path in arguments.policies if load_run(path).evaluation]
    sets = {
        name: judged(runs, [Path(model) for model in models], arguments.starts)
        for name, *models in arguments.models
    }
    for name, told in sets.items():
        for key in ("mean", "lowest"):
            print(name, key, *(f"{k} {v}" for k, v in told[key].items()), sep="  ")
    if arguments.out:
        result = {
            "command": shlex.join(["python", *sys.argv]),
            "versions": load_run(runs[0]).record.versions,
            "sets": sets,
        }
        write_file(arguments.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
