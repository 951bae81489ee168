"""What a second core brings to collecting, and how fast snapshots fill a corpus.

Two parts, each in pairs of one and of two workers that are timed one after the other, in turns of
order; a ratio is how many times as fast two workers were, and the median of the pairs is reported:

- ``seeds``: ``lawm-data collect --agent dreamer --seeds 0,1``: learning, one core for each seed;
- ``snapshots``: ``lawm-data collect --agent OUT.agent@snapshots``: rollouts of its policies.

Times are wall time of the whole command, imports included, so this wants a quiet machine with two
cores. Both ways must give the same corpora, or the benchmark fails. How good the agent is does not
matter here: the one whose snapshots act has taken few gradient steps.

    python benchmarks/collecting.py --out benchmarks/results/collecting.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lawm_data import open_corpus
from lawm_models.collection.agents.dreamer import DreamerConfig
from lawm_models.collection.collector import agent_folder, collect_learning

ENVIRONMENT = {**os.environ, "MUJOCO_GL": "disable"}
PACKAGES = ("lawm", "torch", "mujoco", "dm_control", "numpy")
PAPER = 2000
"""Trajectories of a corpus of the paper."""

Way = Callable[[int], list[str]]
"""Collects with so many workers; returns the fingerprints of the corpora."""


def compare(way: Way, pairs: int) -> dict[str, Any]:
    """Time one worker against two."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    made = set()
    for pair in range(pairs):
        for workers in (1, 2) if pair % 2 == 0 else (2, 1):
            began = time.perf_counter()
            made.add(tuple(way(workers)))
            seconds[workers].append(time.perf_counter() - began)
            print(f"{workers} worker(s): {seconds[workers][-1]:.1f} s", file=sys.stderr)
    if len(made) != 1:
        raise SystemExit("the number of workers changed the corpora")
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    return {
        "seconds_one_worker": [round(s, 2) for s in seconds[1]],
        "seconds_two_workers": [round(s, 2) for s in seconds[2]],
        "ratios": [round(ratio, 3) for ratio in ratios],
        "ratio": round(statistics.median(ratios), 3),
    }


def seeds(folder: Path, task: str, trajectories: int, pairs: int) -> dict[str, Any]:
    """Two learning agents."""

    def way(workers: int) -> list[str]:
        out = Path(tempfile.mkdtemp(dir=folder)) / "c"
        collect(task, "dreamer", out, trajectories, "--seeds", "0,1", "--workers", str(workers))
        return [open_corpus(out.with_name(f"c-{seed}")).fingerprint for seed in (0, 1)]

    return {"task": task, "trajectories": trajectories, **compare(way, pairs)}


def snapshots(folder: Path, task: str, trajectories: int, pairs: int) -> dict[str, Any]:
    """Rollouts of the snapshots of one agent."""
    trained = folder / "trained"
    config = DreamerConfig(first_updates=2, updates=1)
    collect_learning("dreamer", task, trained, 40, 0, config=config, processes=1)
    agent = f"{agent_folder(trained)}@snapshots"

    def way(workers: int) -> list[str]:
        out = Path(tempfile.mkdtemp(dir=folder)) / "c"
        collect(task, agent, out, trajectories, "--workers", str(workers))
        return [open_corpus(out).fingerprint]

    compared = compare(way, pairs)
    rate = trajectories / statistics.median(compared["seconds_two_workers"])
    return {
        "task": task,
        "trajectories": trajectories,
        **compared,
        "trajectories_per_second": round(rate, 2),
        f"minutes_for_{PAPER}": round(PAPER / rate / 60, 2),
    }


def collect(task: str, agent: str, out: Path, trajectories: int, *options: str) -> None:
    """Run ``lawm-data collect``."""
    command = str(Path(sys.executable).with_name("lawm-data"))
    given = ("--env", task, "--agent", agent, "--out", str(out))
    words = [command, "collect", *given, "--trajectories", str(trajectories), *options]
    quiet = subprocess.DEVNULL
    subprocess.run(words, env=ENVIRONMENT, check=True, stdout=quiet, stderr=quiet)


def main() -> None:
    """Measure and print; write JSON with ``--out``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--task", default="walker-walk")
    parser.add_argument("--trajectories", type=int, default=30, help="of each learning agent")
    parser.add_argument("--rollouts", type=int, default=640, help="trajectories of snapshots")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--parts", nargs="+", default=["seeds", "snapshots"])
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    sizes = {"seeds": arguments.trajectories, "snapshots": arguments.rollouts}
    with tempfile.TemporaryDirectory() as folder:
        results = {
            part.__name__: part(Path(folder), arguments.task, sizes[part.__name__], arguments.pairs)
            for part in (seeds, snapshots)
            if part.__name__ in arguments.parts
        }
    report = {
        "benchmark": "collecting",
        "command": "python " + " ".join(sys.argv),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
        **results,
    }
    text = json.dumps(report, indent=2) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
