"""What a camera image costs, by the way that it is drawn.

- ``pictures``: CPU time of ``physics.render`` beside that of the drawings ``fast`` and ``shadows``,
  in one process, the same states, in turns; a ratio is how many times as cheap, and the median of
  the turns is reported. Also how much of the suite's picture they change.
- ``collect``: frames a CPU second of the whole command ``lawm-data collect --pixels``, imports
  included.
- ``rerender``: the same of ``lawm-data rerender``, of a corpus of 200 trajectories.

    python benchmarks/drawing.py --out benchmarks/results/drawing.json --sheet drawing.png
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

import numpy as np
from lawm_schemas import Drawing

from lawm_data import open_corpus
from lawm_data.envs import suites

PACKAGES = ("lawm", "mujoco", "dm_control", "numpy", "h5py")
WAYS = ("suite", "shadows", "fast")
SIZE = 64


def pictures(task: str, turns: int) -> tuple[dict[str, Any], np.ndarray]:
    """Time the drawings of one task; returns their figures, and the last pictures side by side."""
    drawn = {
        way: suites.make(task, pixels=SIZE, drawing=None if way == "suite" else Drawing(by=way))
        for way in WAYS
    }
    milliseconds: dict[str, list[float]] = {way: [] for way in WAYS}
    changed: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
    last: dict[str, np.ndarray] = {}
    for turn in range(turns):
        for way in WAYS if turn % 2 == 0 else WAYS[::-1]:
            env, frames = drawn[way], 4 if way == "suite" else 20
            for _ in _states(env, turn):
                env.look(0)["pixels"]
            began = time.process_time()
            for _ in range(frames):
                last[way] = env.look(0)["pixels"]
            milliseconds[way].append(1000 * (time.process_time() - began) / frames)
        for way in WAYS:
            changed[way].append(np.abs(last[way].astype(int) - last["suite"]))
    figures: dict[str, Any] = {}
    for way in WAYS:
        pairs = zip(milliseconds["suite"], milliseconds[way], strict=True)
        difference = np.stack(changed[way])
        figures[way] = {
            "milliseconds": round(statistics.median(milliseconds[way]), 3),
            "times_as_cheap": round(statistics.median(a / b for a, b in pairs), 1),
            "numbers_changed": round(float((difference > 0).mean()), 4),
            "mean_change": round(float(difference.mean()), 2),
            "largest_change": int(difference.max()),
        }
    return figures, np.concatenate([last[way] for way in WAYS], 1)


def _states(env: suites.Environments, seed: int) -> Iterator[None]:
    """Some steps of an episode."""
    rng = np.random.default_rng(seed)
    env.reset([seed])
    for _ in range(5):
        env.step(rng.uniform(-1, 1, (1, *env.action.shape)).astype(np.float32))
        yield


def frames_a_second(command: Callable[[], list[str]], frames: Callable[[], int]) -> dict[str, Any]:
    """Run a command; frames that it drew in a second of CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    quiet = subprocess.DEVNULL
    program = str(Path(sys.executable).with_name("lawm-data"))
    subprocess.run([program, *command()], check=True, stdout=quiet, stderr=quiet)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "frames": frames(),
        "cpu_seconds": round(seconds, 2),
        "frames_a_cpu_second": round(frames() / seconds, 1),
    }


def _frames(path: Path) -> int:
    corpus = open_corpus(path)
    return int(corpus.table.length.sum()) + len(corpus)


def collect(folder: Path, task: str, trajectories: int) -> dict[str, Any]:
    """Frames a second of collecting random actions."""
    out = folder / f"{task}-pixels"
    given = ("--env", task, "--trajectories", str(trajectories), "--pixels", str(SIZE))
    return frames_a_second(lambda: ["collect", *given, "--out", str(out)], lambda: _frames(out))


def rerender(folder: Path, task: str, trajectories: int) -> dict[str, Any]:
    """Frames a second of drawing what was recorded."""
    states, out = folder / f"{task}-states", folder / f"{task}-drawn"
    given = ("--env", task, "--trajectories", str(trajectories), "--out", str(states))
    frames_a_second(lambda: ["collect", *given], lambda: 0)
    words = ["rerender", str(states), "--size", str(SIZE), "--out", str(out)]
    return frames_a_second(lambda: words, lambda: _frames(out))


def main() -> None:
    """Measure and print; write JSON with ``--out``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    tasks = ["walker-walk", "cheetah-run", "hopper-hop", "reacher-easy"]
    parser.add_argument("--tasks", nargs="+", default=tasks)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--trajectories", type=int, default=10, help="that are collected")
    parser.add_argument("--rerendered", type=int, default=200, help="trajectories of the corpus")
    parser.add_argument("--parts", nargs="+", default=["pictures", "collect", "rerender"])
    parser.add_argument("--sheet", type=Path, help="PNG of the pictures: suite, shadows, fast")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    if "pictures" in arguments.parts:
        drawn = {task: pictures(task, arguments.turns) for task in arguments.tasks}
        results["pictures"] = {task: figures for task, (figures, _) in drawn.items()}
        if arguments.sheet:
            from PIL import Image

            sheet = np.concatenate([row for _, row in drawn.values()])
            size = (sheet.shape[1] * 3, sheet.shape[0] * 3)
            Image.fromarray(sheet).resize(size, Image.Resampling.NEAREST).save(arguments.sheet)
    with tempfile.TemporaryDirectory() as folder:
        if "collect" in arguments.parts:
            results["collect"] = {
                task: collect(Path(folder), task, arguments.trajectories)
                for task in arguments.tasks
            }
        if "rerender" in arguments.parts:
            task = arguments.tasks[0]
            results["rerender"] = {task: rerender(Path(folder), task, arguments.rerendered)}
    report = {
        "benchmark": "drawing",
        "command": "python " + " ".join(sys.argv),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
        "size": SIZE,
        **results,
    }
    text = json.dumps(report, indent=2) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
