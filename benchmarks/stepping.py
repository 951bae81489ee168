"""How fast environments step, as ratios to bare ``mj_step`` on one core.

Every way steps the same N episodes with the same actions, in lockstep and in one thread:

- ``bare``: one ``mj_step`` call per step, nothing observed, nothing rewarded;
- ``bare_suite_order``: the same physics in the suite's order (``mj_step2``, ``mj_step``,
  ``mj_step1``), which rewards need after every control step;
- ``direct``: ``lawm_data.envs`` stepping MuJoCo itself, with observations, physics and rewards;
- ``suite``: ``env.step`` of dm_control, called once per control step;
- ``rollout``: ``mujoco.rollout`` alone, which needs all actions beforehand, on one thread: states
  and sensors, nothing observed, nothing rewarded;
- ``open_loop``: ``lawm_data.envs`` through it, with observations, physics and rewards.

Rounds are interleaved, times are process CPU time, ratios are medians of the rounds' ratios.

    python benchmarks/stepping.py --out benchmarks/results/stepping.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lawm_data.envs import suites as envs
from lawm_data.envs.suites import _suite

mujoco: Any = import_module("mujoco")  # no type checker sees its compiled names
mujoco_rollout: Any = import_module("mujoco.rollout")

TASKS = ("walker-walk", "cheetah-run", "hopper-stand", "cartpole-swingup")
PACKAGES = ("lawm", "dm_control", "mujoco", "numpy")

Way = Callable[[], float]
"""Runs the episodes from their start and returns the CPU seconds of stepping them."""


class Simulators(NamedTuple):
    """MuJoCo alone, in the states in which the suite starts the episodes."""

    model: Any
    substeps: int
    starts: list[Any]
    lanes: list[Any]

    @classmethod
    def of(cls, task: str, seeds: range) -> Simulators:
        """One ``MjData`` per seed."""
        source = _suite.load(task)
        model = source.physics.model.ptr
        starts = []
        for seed in seeds:
            _suite.reset(source, task, seed)
            starts.append(mujoco.MjData(model))
            mujoco.mj_copyData(starts[-1], model, source.physics.data.ptr)
        lanes = [mujoco.MjData(model) for _ in seeds]
        return cls(model, _suite.substeps(source), starts, lanes)

    def restart(self) -> list[tuple[Any, np.ndarray]]:
        """Back to the starts; returns each ``MjData`` with its controls."""
        for data, start in zip(self.lanes, self.starts, strict=True):
            mujoco.mj_copyData(data, self.model, start)
        return [(data, data.ctrl) for data in self.lanes]


def bare(task: str, seeds: range, actions: np.ndarray, repeat: int) -> Way:
    """One call per step, whatever its number of control steps."""
    simulators = Simulators.of(task, seeds)
    model, total = simulators.model, simulators.substeps * repeat
    step = mujoco.mj_step

    def run() -> float:
        lanes = simulators.restart()
        began = time.process_time()
        for chosen in actions:
            for (data, control), action in zip(lanes, chosen, strict=True):
                control[:] = action
                step(model, data, total)
        return time.process_time() - began

    return run


def bare_suite_order(task: str, seeds: range, actions: np.ndarray, repeat: int) -> Way:
    """Up to three calls per control step."""
    simulators = Simulators.of(task, seeds)
    model, substeps = simulators.model, simulators.substeps
    runge_kutta = model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
    whole = substeps if runge_kutta else substeps - 1
    step, step1, step2 = mujoco.mj_step, mujoco.mj_step1, mujoco.mj_step2

    def run() -> float:
        lanes = simulators.restart()
        began = time.process_time()
        for chosen in actions:
            for (data, control), action in zip(lanes, chosen, strict=True):
                control[:] = action
                for _ in range(repeat):
                    if not runge_kutta:
                        step2(model, data)
                    if whole:
                        step(model, data, whole)
                    step1(model, data)
        return time.process_time() - began

    return run


def direct(task: str, seeds: range, actions: np.ndarray, repeat: int) -> Way:
    """The direct path, as a collector uses it."""
    environments = envs.make(task, num_envs=len(seeds), action_repeat=repeat, direct=True)

    def run() -> float:
        environments.reset(seeds)
        began = time.process_time()
        for chosen in actions:
            environments.step(chosen)
        return time.process_time() - began

    return run


def suite(task: str, seeds: range, actions: np.ndarray, repeat: int) -> Way:
    """dm_control's own step."""
    lanes = [_suite.load(task) for _ in seeds]

    def run() -> float:
        for lane, seed in zip(lanes, seeds, strict=True):
            _suite.reset(lane, task, seed)
        began = time.process_time()
        for chosen in actions:
            for lane, action in zip(lanes, chosen, strict=True):
                for _ in range(repeat):
                    lane.step(action)
        return time.process_time() - began

    return run


def rollout(task: str, seeds: range, actions: np.ndarray, repeat: int) -> Way:
    """One call for all steps of an episode."""
    simulators = Simulators.of(task, seeds)
    model, full = simulators.model, mujoco.mjtState.mjSTATE_FULLPHYSICS
    data = mujoco.MjData(model)
    starts = np.empty((len(seeds), mujoco.mj_stateSize(model, full)))
    for start, row in zip(simulators.starts, starts, strict=True):
        mujoco.mj_getState(model, start, row, full)
    warm = np.stack([start.qacc_warmstart for start in simulators.starts])

    def run() -> float:
        began = time.process_time()
        for i, chosen in enumerate(np.swapaxes(actions, 0, 1)):
            controls = np.repeat(chosen, simulators.substeps * repeat, axis=0)[None]
            mujoco_rollout.rollout(
                model, data, starts[i : i + 1], controls, initial_warmstart=warm[i : i + 1]
            )
        return time.process_time() - began

    return run


def open_loop(task: str, seeds: range, actions: np.ndarray, repeat: int) -> Way:
    """All steps at once, as random agents and replays take them."""
    environments = envs.make(task, num_envs=len(seeds), action_repeat=repeat, direct=True)
    together = np.swapaxes(actions, 0, 1)

    def run() -> float:
        environments.reset(seeds)
        began = time.process_time()
        environments.open_loop(together)
        return time.process_time() - began

    return run


def measure(task: str, num_envs: int, steps: int, repeat: int, rounds: int) -> dict[str, Any]:
    """Interleave all ways over a task; ``a/b`` is how many times as fast as ``b`` a is."""
    seeds = range(num_envs)
    size = envs.make(task).action.shape
    draws = np.random.default_rng(0).uniform(-1, 1, (steps, num_envs, *size))
    actions = draws.astype(np.float32)
    makers = (bare, bare_suite_order, direct, suite, rollout, open_loop)
    ways = {maker.__name__: maker(task, seeds, actions, repeat) for maker in makers}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds):
        order = list(ways)
        first = round_ % len(order)
        for name in order[first:] + order[:first]:
            times[name].append(ways[name]())
    pairs = [("direct", name) for name in ("bare", "bare_suite_order", "suite")]
    ratios = {
        f"{own}/{other}": statistics.median(
            theirs / ours for theirs, ours in zip(times[other], times[own], strict=True)
        )
        for own, other in [*pairs, ("open_loop", "rollout"), ("open_loop", "direct")]
    }
    done = steps * num_envs * repeat
    rates = {name: round(done / statistics.median(t)) for name, t in times.items()}
    return {
        "task": task,
        "num_envs": num_envs,
        "control_steps_per_second": rates,
        "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()},
    }


def main() -> None:
    """Measure and print; write JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--num-envs", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--episode-steps", type=int, default=500, help="steps of each episode")
    parser.add_argument("--action-repeat", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    results = []
    for task in args.tasks:
        for num_envs in args.num_envs:
            result = measure(task, num_envs, args.episode_steps, args.action_repeat, args.rounds)
            results.append(result)
            print(json.dumps(result), flush=True)
    report = {
        "benchmark": "stepping",
        "command": f"python {' '.join(sys.argv)}",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
        "action_repeat": args.action_repeat,
        "episode_steps": args.episode_steps,
        "rounds": args.rounds,
        "results": results,
    }
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
