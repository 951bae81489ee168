"""What collecting costs, and what a second core brings to it.

Two parts in pairs of one and of two workers that are timed one after the other, in turns of order;
a ratio is how many times as fast two workers were, and the median of the pairs is reported:

- ``seeds``: ``lawm-data collect --agent dreamer --seeds 0,1``: learning, one core for each seed;
- ``snapshots``: ``lawm-data collect --agent OUT.agent@snapshots``: rollouts of its policies.

Their times are wall time of the whole command, imports included, so they want a quiet machine with
two cores. Both ways must give the same corpora, or the benchmark fails. How good the agent is does
not matter here: the one whose snapshots act has taken few gradient steps.

Two parts in CPU time:

- ``random``: the whole of ``lawm-data collect --agent random`` and of ``validate --replay``, as
  shares of ``mujoco.rollout`` over the same episodes, with the start of the program and without;
- ``environments``: a learning agent in one environment and in four, acting and learning apart.

    python benchmarks/collecting.py --out benchmarks/results/collecting.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import stepping

from lawm_data import open_corpus
from lawm_data.envs import suites as envs
from lawm_models.collection.agents import AGENTS, agent_config
from lawm_models.collection.agents.dreamer import DreamerConfig
from lawm_models.collection.collector import agent_folder, collect_learning
from lawm_models.networks.policies import FilteringPolicy

ENVIRONMENT = {**os.environ, "MUJOCO_GL": "disable"}
PACKAGES = ("lawm", "torch", "mujoco", "dm_control", "numpy")
RANDOM = ["walker-walk", "cheetah-run"]
"""Tasks of random actions: ten physics steps in a control step, and one."""
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


def random(folder: Path, tasks: list[str], trajectories: int, pairs: int) -> dict[str, Any]:
    """Random actions, and their replay."""
    results = {}
    for task in tasks:
        made = envs.make(task)
        size = (made.steps_per_episode, trajectories, *made.action.shape)
        actions = np.random.default_rng(0).uniform(-1, 1, size).astype(np.float32)
        shares: dict[str, list[float]] = {}
        for _ in range(pairs):
            alone = stepping.rollout(task, range(trajectories), actions, 2)()
            start, spent = (collect_and_replay(folder, task, n) for n in (1, trajectories))
            for name, seconds in spent.items():
                more = (seconds - start[name]) * trajectories / (trajectories - 1)
                shares.setdefault(name, []).append(alone / seconds)
                shares.setdefault(f"{name}, without its start", []).append(alone / more)
            print(f"{task}: {alone:.2f} s alone, {spent}", file=sys.stderr)
        results[task] = {name: round(statistics.median(each), 3) for name, each in shares.items()}
    return {"trajectories": trajectories, "shares_of_mujoco_rollout": results}


def collect_and_replay(folder: Path, task: str, trajectories: int) -> dict[str, float]:
    """CPU seconds of both commands."""
    out = Path(tempfile.mkdtemp(dir=folder)) / "c"
    spent = collect(task, "random", out, trajectories)
    return {"collect": spent, "replay": lawm_data("validate", str(out), "--replay")}


def environments(task: str, updates: list[int]) -> dict[str, Any]:
    """A round of each learning agent after the random ones, per trajectory."""
    results = {}
    for kind in AGENTS.names():
        for number in updates:
            seconds = {n: per_trajectory(kind, task, number, n) for n in (1, 4)}
            ratio = seconds[1]["whole"] / seconds[4]["whole"]
            found = {f"{n} environments": value for n, value in seconds.items()}
            results[f"{kind}, {number} gradient steps"] = {**found, "ratio": round(ratio, 3)}
            print(f"{kind}, {number} gradient steps: {ratio:.2f} x", file=sys.stderr)
    return {"task": task, "seconds_per_trajectory": results}


def per_trajectory(kind: str, task: str, updates: int, size: int) -> dict[str, float]:
    """CPU seconds of the second round that learns: the first has no dreams yet."""
    settings = {"environments": size, "random_trajectories": size, "first_updates": 0}
    config = agent_config(kind, {**settings, "updates": updates})
    times, acting = [time.process_time()], [0.0]
    act = FilteringPolicy.act

    def timed(self: FilteringPolicy, observation: np.ndarray) -> np.ndarray:
        began = time.process_time()
        action = act(self, observation)
        acting[-1] += time.process_time() - began
        return action

    def on_round(*_: object) -> None:
        times.append(time.process_time())
        acting.append(0.0)

    FilteringPolicy.act = timed
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "c"
            given = (kind, task, out, 3 * size, 0)
            collect_learning(*given, config=config, on_round=on_round, processes=1)
    finally:
        FilteringPolicy.act = act
    whole = times[3] - times[2]
    return {"whole": round(whole / size, 3), "policy": round(acting[2] / size, 3)}


def collect(task: str, agent: str, out: Path, trajectories: int, *options: str) -> float:
    """Run ``lawm-data collect``; returns its CPU seconds."""
    given = ("--env", task, "--agent", agent, "--out", str(out))
    return lawm_data("collect", *given, "--trajectories", str(trajectories), *options)


def lawm_data(*words: str) -> float:
    """Run ``lawm-data``; returns its CPU seconds."""
    command = str(Path(sys.executable).with_name("lawm-data"))
    quiet = subprocess.DEVNULL
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([command, *words], env=ENVIRONMENT, check=True, stdout=quiet, stderr=quiet)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print; write JSON with ``--out``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--task", default="walker-walk")
    parser.add_argument("--trajectories", type=int, default=30, help="of each learning agent")
    parser.add_argument("--rollouts", type=int, default=640, help="trajectories of snapshots")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=200, help="trajectories of random actions")
    parser.add_argument("--updates", type=int, nargs="+", default=[70])
    parts = ("seeds", "snapshots", "random", "environments")
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, task, pairs = Path(name), arguments.task, arguments.pairs
        if "seeds" in arguments.parts:
            results["seeds"] = seeds(folder, task, arguments.trajectories, pairs)
        if "snapshots" in arguments.parts:
            results["snapshots"] = snapshots(folder, task, arguments.rollouts, pairs)
        if "random" in arguments.parts:
            results["random"] = random(folder, RANDOM, arguments.episodes, pairs)
        if "environments" in arguments.parts:
            results["environments"] = environments(task, arguments.updates)
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
