"""How long the same commands take in this checkout and in an earlier revision, in turn.

Every row is a command line or a few lines of Python that both understand. They run as processes of
one thread each, with their own checkout first on the path, one after the other in every round; the
ratio of a round is the CPU time (user and system, children included) of this checkout over that of
the revision, so that 0.5 is twice as fast. Gradient steps and inference are timed by the program
itself, without its start. Medians of the ratios are reported, with the lowest and
the highest, and the ratio of the peaks of resident memory.

    python benchmarks/against.py 57c0a20 --out benchmarks/results/against-57c0a20.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "import sys; from lawm_cli.entry import {0}; sys.exit({0}())"


class Row(NamedTuple):
    """Something that is timed."""

    name: str
    command: list[str]
    """Words after the program; ``OUT`` stands for a path that is new in every round."""
    program: str = "lawm_data"
    """``lawm``, ``lawm_data``, or ``python``: then the one word is a program."""
    times_itself: bool = False
    """It prints the CPU seconds that count, last."""


WRITE = """
import sys
import numpy as np
from lawm_data import CorpusWriter
from lawm_schemas import ArraySpec, Provenance, Role

def write(path, count, steps, sources=1, alike=False):
    rng = np.random.default_rng(0)
    bounds = {"low": (-1.0,) * 6, "high": (1.0,) * 6}
    with CorpusWriter.create(
        path,
        observations=[ArraySpec(name="state", shape=(24,))],
        action=ArraySpec(name="action", shape=(6,), role=Role.action, **bounds),
    ) as writer:
        for n in range(count):
            state = np.zeros((steps + 1, 24)) if alike else rng.normal(size=(steps + 1, 24))
            action = rng.uniform(-1, 1, (steps, 6))
            source = Provenance(source="test", seed=n % sources)
            writer.add({"state": state}, np.zeros(steps), action, provenance=source)
"""
STEPS = """
import sys, time
sys.path.insert(0, sys.argv[1])
import torch
import training_ways
from training import ACTION, OBSERVATION, SIZES, make_batch
from lawm_models.algorithms._protocol import ModelSpec
from lawm_models.algorithms.lawm import Algorithm

torch.set_num_threads(1)
config = SIZES[{size!r}][0]
spec = getattr(training_ways, "ARRAYS", None)
if spec is None:
    spec = ModelSpec(OBSERVATION, ACTION, (-1.0,) * ACTION, (1.0,) * ACTION)
algorithm, generator = Algorithm(config, spec), torch.Generator().manual_seed(0)
batch = make_batch(*{batch})
algorithm.begin({stage!r})
for _ in range({before}):
    {call}
begun = time.process_time()
for _ in range({times}):
    {call}
print(time.process_time() - begun)
"""


def steps(
    stage: str, size: str = "small", batch: str = "(16, 32)", times: int = 60, before: int = 3
) -> list[str]:
    """A program of so many gradient steps, after some that do not count."""
    call = f"algorithm.update({stage!r}, batch, generator)"
    words = {"size": size, "batch": batch, "stage": stage, "times": times, "before": before}
    return [STEPS.format(call=call, **words)]


def inferring(windows: int, length: int) -> list[str]:
    """A program that infers the actions of whole trajectories, as ``relabel`` does."""
    call, batch = "algorithm.infer_actions(batch)", f"({windows}, {length})"
    return [STEPS.format(size="small", batch=batch, stage="model", times=1, before=0, call=call)]


def writing(words: str) -> list[str]:
    """A program that writes a corpus."""
    return [f"{WRITE}\nwrite('OUT', {words})"]


RANDOM = ["collect", "--env", "cheetah-run", "--agent", "random"]
DREAMER = ["collect", "--env", "cheetah-run", "--agent", "dreamer"]
PREPARE = f"""{WRITE}
write("short", 10000, 10)
write("long", 200, 500)
"""
ROWS = [
    Row("lawm --help", ["--help"], "lawm"),
    Row("info", ["info", "short"]),
    Row("write 5,000 × 10", writing("5000, 10"), "python"),
    Row("write 2,000 × 10, a source each", writing("2000, 10, sources=2000"), "python"),
    Row("write 3,000 × 10, all alike", writing("3000, 10, alike=True"), "python"),
    Row("filter 10,000 × 10", ["filter", "short", "length > 1", "--out", "OUT"]),
    Row("filter 200 × 500", ["filter", "long", "length > 1", "--out", "OUT"]),
    Row("split 10,000 × 10", ["split", "short", "a=0.9", "b=0.1", "--out", "OUT"]),
    Row(
        "filter 10,000 × 10 through a mask",
        ["filter", "short", "length > 1", "--mask", "few", "--out", "OUT"],
    ),
    Row("merge 10,000 × 10 with 200 × 500", ["merge", "short", "long", "--out", "OUT"]),
    Row("validate 10,000 × 10", ["validate", "short"]),
    Row("validate 200 × 500", ["validate", "long"]),
    Row("export d4rl 10,000 × 10", ["export", "short", "d4rl:OUT.hdf5"]),
    Row("random agent, 100 of cheetah", [*RANDOM, "--trajectories", "100", "--out", "OUT"]),
    Row("replay 100 of cheetah", ["validate", "acted", "--replay"]),
    Row("Dreamer, 10 of cheetah", [*DREAMER, "--trajectories", "10", "--out", "OUT"]),
    Row("export d4rl 200 × 500", ["export", "long", "d4rl:OUT.hdf5"]),
    Row("export robomimic 200 × 500", ["export", "long", "robomimic:OUT.hdf5"]),
    Row("export lerobot 200 × 500", ["export", "long", "lerobot:OUT", "--set", "fps=20"]),
    Row("import d4rl 10,000 × 10", ["import", "d4rl:short.hdf5", "OUT"]),
    Row("import d4rl 200 × 500", ["import", "d4rl:long.hdf5", "OUT"]),
    Row("import robomimic 200 × 500", ["import", "robomimic:long-robomimic.hdf5", "OUT"]),
    Row("60 model steps, small", steps("model"), "python", True),
    Row("30 policy steps, small", steps("agent", times=30), "python", True),
    Row("2 model steps, Table 2", steps("model", "paper", "(64, 50)", 2, 1), "python", True),
    Row("infer actions 65 × 500", inferring(65, 500), "python", True),
    Row("infer actions 16 × 500", inferring(16, 500), "python", True),
    Row("infer actions 1 × 2,000", inferring(1, 2000), "python", True),
]


class Checkout:
    """A source tree, and the folder in which its commands run.

    Args:
        root: the tree.
        folder: where it writes.
        python: the interpreter that has what it needs.
    """

    def __init__(self, root: Path, folder: Path, python: str) -> None:
        self.root, self.folder, self.python = root, folder, python
        self.count = 0
        folder.mkdir()
        self.run(Row("prepare", [PREPARE], "python"))
        few = ["mask", "short", "--name", "few", "--fraction", "0.05"]
        self.run(Row("prepare", few))
        for corpus, place in (
            ("short", "d4rl:short.hdf5"),
            ("long", "d4rl:long.hdf5"),
            ("long", "robomimic:long-robomimic.hdf5"),
        ):
            self.run(Row("prepare", ["export", corpus, place]))
        self.run(Row("prepare", [*RANDOM, "--trajectories", "100", "--out", "acted"]))

    def run(self, row: Row) -> tuple[float, int]:
        """CPU seconds and peak of resident memory, in bytes.

        Raises:
            SystemExit: the command failed.
        """
        self.count += 1
        words = [word.replace("OUT", f"out-{self.count}") for word in row.command]
        if row.program == "python":
            words = [*words, str(self.root / "benchmarks")]
        else:
            words = [PROGRAM.format(row.program), *words]
        path = os.pathsep.join(str(self.root / part) for part in ("", "cli", "schemas"))
        inherited = dict(os.environ)
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody waits for the compiler every time
        one = {"OMP_NUM_THREADS": "1", "MUJOCO_GL": "disable", "PYTHONPATH": path}
        with (self.folder / "output").open("w+") as output:
            process = subprocess.Popen(
                [self.python, "-c", *words],
                cwd=self.folder,
                env={**inherited, **one},
                stdout=output,
                stderr=output,
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                output.seek(0)
                raise SystemExit(f"{row.name} in {self.root}: {output.read()[-2000:]}")
            if row.times_itself:
                output.seek(0)
                return float(output.read().split()[-1]), usage.ru_maxrss * 1024
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def compare(row: Row, here: Checkout, there: Checkout, rounds: int) -> dict[str, Any]:
    """One row of the table; both run once before it counts."""
    for checkout in (here, there):
        checkout.run(row)
    pairs = [(here.run(row), there.run(row)) for _ in range(rounds)]
    ratios = [new[0] / old[0] for new, old in pairs]
    return {
        "name": row.name,
        "seconds": statistics.median(new[0] for new, _ in pairs),
        "seconds_before": statistics.median(old[0] for _, old in pairs),
        "ratios": ratios,
        "ratio": statistics.median(ratios),
        "memory_ratio": statistics.median(new[1] / old[1] for new, old in pairs),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("revision")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", default="", help="rows whose name has this in it; the file keeps the others"
    )
    parser.add_argument("--python", default=sys.executable, help="interpreter of the revision")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = folder / "revision"
        add = ["git", "-C", str(ROOT), "worktree", "add", "--detach", str(tree), options.revision]
        subprocess.run(add, check=True, capture_output=True)
        try:
            here = Checkout(ROOT, folder / "here", sys.executable)
            there = Checkout(tree, folder / "there", options.python)
            for row in ROWS:
                if options.only in row.name:
                    rows.append(compare(row, here, there, options.rounds))
                    found = rows[-1]
                    low, high = min(found["ratios"]), max(found["ratios"])
                    print(
                        f"{row.name:34} {found['seconds']:7.2f} s  ratio {found['ratio']:.2f} "
                        f"({low:.2f} to {high:.2f})  memory {found['memory_ratio']:.2f}",
                        flush=True,
                    )
        finally:
            remove = ["git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree)]
            subprocess.run(remove, check=True, capture_output=True)
    if options.out:
        # imported last: a process begins with the peak of memory of the one that starts it
        from lawm_models.training.versions import installed_versions

        if options.only and options.out.exists():
            kept = {row["name"]: row for row in json.loads(options.out.read_text())["rows"]}
            rows = list((kept | {row["name"]: row for row in rows}).values())
        result = {
            "command": f"python benchmarks/against.py {options.revision} --rounds {options.rounds}",
            "revision": options.revision,
            "rounds": options.rounds,
            "machine": {"cores": os.cpu_count(), "processor": platform.processor()},
            "versions": installed_versions(),
            "rows": rows,
        }
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
