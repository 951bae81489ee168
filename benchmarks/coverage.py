"""How much of the state space random actions, the Dreamer and Plan2Explore visit in equal steps.

Collects with each agent and seed what is not there yet (the same command goes on where it was
stopped) and counts occupied cells on one grid for all corpora of the environment; see
``state_coverage``. The JSON file keeps one entry for each environment.

    python benchmarks/coverage.py --env cartpole-swingup --action-repeat 4 --trajectories 40 \
        --seeds 0 1 2 --folder corpora/coverage --out benchmarks/results/coverage.json
    python benchmarks/coverage.py --env walker-walk --action-repeat 2 --trajectories 100 \
        --seeds 0 1 2 --folder corpora/coverage --out benchmarks/results/coverage.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from lawm_cli.data_app import main as lawm_data
from state_coverage import Grid, coverage

from lawm_data import Corpus, open_corpus
from lawm_models.training.versions import installed_versions

AGENTS = ("random", "dreamer", "plan2explore")


def main() -> None:
    """Parse arguments, collect what is missing and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--env", required=True)
    parser.add_argument("--action-repeat", type=int, default=2)
    parser.add_argument("--trajectories", type=int, default=40, help="of each corpus")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--bins", type=int, default=20, help="of each dimension")
    parser.add_argument("--folder", type=Path, required=True, help="where the corpora are kept")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    corpora = {
        agent: [_collected(agent, s, arguments) for s in arguments.seeds] for agent in AGENTS
    }
    every = [corpus for found in corpora.values() for corpus in found]
    (steps,) = {int(corpus.table.length.sum()) for corpus in every}  # else they do not compare
    grid = Grid.over(every, arguments.bins)
    result = {
        "command": "python " + " ".join(sys.argv),
        "action_repeat": arguments.action_repeat,
        "trajectories": arguments.trajectories,
        "steps": steps,
        "seeds": arguments.seeds,
        "grid": {"bins": grid.bins, "low": grid.low.tolist(), "high": grid.high.tolist()},
        "agents": {agent: _described(found, grid) for agent, found in corpora.items()},
        "versions": installed_versions(),
    }
    there = (
        json.loads(arguments.out.read_text()) if arguments.out and arguments.out.exists() else {}
    )
    text = json.dumps({**there, arguments.env: result}, indent=2) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


def _collected(agent: str, seed: int, arguments: argparse.Namespace) -> Corpus:
    out = arguments.folder / f"{arguments.env}-{agent}-{seed}"
    print(out, file=sys.stderr, flush=True)
    words = ["collect", "--env", arguments.env, "--agent", agent, "--seed", seed, "--out", out]
    words += ["--action-repeat", arguments.action_repeat, "--trajectories", arguments.trajectories]
    with contextlib.redirect_stdout(sys.stderr):
        code = lawm_data([str(word) for word in words])
    if code:
        sys.exit(code)
    corpus = open_corpus(out)
    return corpus.filter(corpus.table.id[: arguments.trajectories].tolist())  # it may hold more


def _described(corpora: list[Corpus], grid: Grid) -> dict[str, Any]:
    found = [coverage((t.observations.state for t in corpus), grid) for corpus in corpora]
    shares = [each.share for each in found]
    return {
        "share_mean": statistics.mean(shares),
        "share": shares,
        "cells": [each.cells for each in found],
        "return_mean": [float(corpus.table.episode_return.mean()) for corpus in corpora],
        "fingerprints": [corpus.fingerprint for corpus in corpora],
    }


if __name__ == "__main__":
    main()
