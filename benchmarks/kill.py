"""``kill -9`` at random moments of collecting and of training: what is lost, what goes on.

Collecting: a subprocess collects with random actions; after every kill the corpus must open and
validate without an error, hold at least every trajectory that was seen before the kill, unchanged,
and the same command must be able to go on. Training: one run is killed again and again and started
again until it is done; its metrics must equal those of a run that was never killed, apart from the
seconds.

    python benchmarks/kill.py --moments 50 --out benchmarks/results/kill.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate

ENVIRONMENT = {**os.environ, "MUJOCO_GL": "disable", "OMP_NUM_THREADS": "1"}
PACKAGES = ("lawm", "h5py", "numpy", "safetensors", "torch")


def main() -> None:
    """Parse arguments, run both parts and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--moments", type=int, default=50, help="kills of each part")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        result = {
            "command": "python " + " ".join(sys.argv),
            "moments": arguments.moments,
            "seed": arguments.seed,
            "collect": kill_collecting(Path(folder), arguments.moments, moments),
            "train": kill_training(Path(folder), arguments.moments, moments),
            "python": platform.python_version(),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }
    text = json.dumps(result, indent=2) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


def kill_collecting(folder: Path, kills: int, moments: random.Random) -> dict[str, Any]:
    """Kill ``lawm-data collect`` at random moments of its writing."""
    corpus, command = folder / "corpus", _collect(folder / "corpus", 10**6)
    lost, unreadable, findings = 0, 0, 0
    known: list[str] = []
    for _ in range(kills):
        process = _start(command)
        wanted = len(known) + 1
        while len(_ids(corpus)) < wanted:  # it writes from here on
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.5))
        seen = _ids(corpus)
        process.send_signal(signal.SIGKILL)
        process.wait()
        try:
            known = list(open_corpus(corpus, verify=True).table.id)
        except Exception:  # whatever it is, the corpus does not open
            unreadable += 1
            continue
        lost += sum(name not in known for name in seen)
        findings += sum(finding.severity == "error" for finding in validate(corpus))
    return {
        "kills": kills,
        "committed_trajectories": len(known),
        "lost_trajectories": lost,
        "times_unreadable": unreadable,
        "validation_errors": findings,
    }


def kill_training(folder: Path, kills: int, moments: random.Random) -> dict[str, Any]:
    """Kill ``lawm train`` at random moments until it is done, and compare with a quiet run."""
    corpus = folder / "small"
    subprocess.run(_collect(corpus, 8), env=ENVIRONMENT, check=True, stderr=subprocess.DEVNULL)
    quiet = folder / "quiet"
    subprocess.run(_train(corpus, quiet), env=ENVIRONMENT, check=True, stderr=subprocess.DEVNULL)
    run, killed, starts, done = folder / "killed", 0, 0, False
    while not done:
        starts += 1
        process = _start(_train(corpus, run))
        if killed % 2 == 0:  # every other kill while it trains, the rest at any moment of a start
            _wait_for_checkpoint(run, process)
        try:
            limit = moments.uniform(0, 0.5) if killed % 2 == 0 else moments.uniform(0, 8)
            done = process.wait(limit if killed < kills else None) == 0
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        if not done and process.returncode != -signal.SIGKILL:
            raise SystemExit(f"training failed with exit code {process.returncode}")
    return {
        "kills": killed,
        "starts": starts,
        "metrics_equal": _metrics(run) == _metrics(quiet),
        "metric_lines": len(_metrics(quiet)),
    }


def _wait_for_checkpoint(run: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the process has written one more checkpoint, or has ended."""
    before = _checkpoints(run)
    while process.poll() is None and _checkpoints(run) == before:
        time.sleep(0.02)


def _checkpoints(run: Path) -> list[str]:
    folder = run / "checkpoints"
    return sorted(p.name for p in folder.glob("step_*")) if folder.exists() else []


def _ids(corpus: Path) -> list[str]:
    return list(open_corpus(corpus).table.id) if (corpus / "corpus.json").exists() else []


def _metrics(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "elapsed"} for line in lines]


def _collect(corpus: Path, trajectories: int) -> list[str]:
    name = "cartpole-swingup"
    append = ["--append"] if corpus.exists() else []
    return [
        *(_script("lawm-data"), "collect", "--env", name, "--agent", "random"),
        *("--trajectories", str(trajectories), "--out", str(corpus), *append),
    ]


def _train(corpus: Path, run: Path) -> list[str]:
    steps = ("--set", "steps.agent=6000", "--set", "evaluation_episodes=1")
    return [
        *(_script("lawm"), "train", "--corpus", str(corpus)),
        *("--algorithm", "bc", "--preset", "small", "--out", str(run), *steps),
        *("--set", "checkpoint_every=100", "--set", "log_every=50"),
    ]


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=quiet, stderr=quiet)


if __name__ == "__main__":
    main()
