"""Capacity over steps of `cola`, with either warm-up and without, from two world models.

Trains what is not finished (the same command goes on where it was stopped), then collects the logs.

    python benchmarks/warm_up.py corpora/parts/train --mask 5pct --runs runs/warm-up \
        --out benchmarks/results/warm_up.json
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from lawm_models import Run, configure, train
from lawm_models.training.run_folder import RunFolder

MODEL = {"algorithm.settings.model.units": 64, "batch_size": 32, "log_every": 25}
WORLD, WARM_UP, TOGETHER = 400, 150, 350
"""Gradient steps of a world model, of the warm-up and after it."""


def main() -> None:
    """Parse arguments, train what is missing and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus", help="folder of a corpus")
    parser.add_argument("--mask", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", required=True, help="prefix of the run folders")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()

    def run(
        name: str,
        algorithm: str,
        steps: dict[str, int],
        world: Run | None = None,
        kind: str = "none",
    ) -> Run:
        settings: dict[str, Any] = {
            **MODEL,
            **{f"steps.{stage}": count for stage, count in steps.items()},
        }
        if kind != "none":
            settings["algorithm.settings.warm_up"] = kind
        if world is not None:
            settings["algorithm.settings.model.latent"] = world.record.action.size
        config = configure(
            f"{options.corpus}@{options.mask}",
            algorithm=algorithm,
            seed=options.seed,
            settings=settings,
        )
        return train(config, f"{options.runs}-{name}", begin_from=world and world.path)

    told = run("acwm", "acwm", {"model": WORLD})
    runs = {}
    for name, world in (("acwm", told), ("untold", None)):
        for kind in ("conditioning", "inverse", "none"):
            warm_up = 0 if kind == "none" else WARM_UP
            together = WARM_UP + TOGETHER - warm_up
            steps = {"world": WORLD, "warm_up": warm_up, "model": together, "controller": 0}
            label = f"{name}-{kind}"
            runs[label] = run(label, "cola", steps, world, kind)
    result = {
        "command": shlex.join(["python", *sys.argv]),
        "corpus": told.record.corpora[0].fingerprint,
        "versions": told.record.versions,
        "settings": runs[label].config.algorithm.settings,
        "runs": {label: _curve(made) for label, made in runs.items()},
    }
    options.out.write_text(json.dumps(result) + "\n")


def _curve(run: Run) -> dict[str, dict[str, list[float]]]:
    """By stage: steps, and means over those since the log line before."""
    found: dict[str, dict[str, list[float]]] = {}
    for line in RunFolder.open(run.path).metrics():
        if line["stage"] in ("warm_up", "model"):
            for key in ("step", "error", "state_only_error", "capacity"):
                stage = found.setdefault(line["stage"], {})
                stage.setdefault(key, []).append(round(line[key], 4))
    return found


if __name__ == "__main__":
    main()
