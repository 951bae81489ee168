"""Training at the paper's sizes on a GPU: one model and a stack of eight, in a few minutes.

Model and policy steps of LAWM at Table 2's sizes, on batches of a corpus in the GPU's memory:
milliseconds, share of the rate of a large product of the same type, and peak memory, for one model
and for eight stacked ones. What is left of ``--minutes`` goes into LAWM and C-LAP at 5% of the
labels, as ``lawm train --preset paper`` makes them; their run folders with all checkpoints stay in
``--runs``, and the same command goes on with them.

Needs neither network nor simulator: the corpus (25 MB) is that of a linear system.

    python benchmarks/gpu.py --out benchmarks/results/gpu.json --runs runs/gpu
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lawm_schemas import ArraySpec, Provenance
from training import SIZES, model_flops
from training_ways import ACTION, ARRAYS, OBSERVATION, stack_step

from lawm_data import CorpusWriter, Loader, make_mask, open_corpus, save_mask
from lawm_data.batches.loader import device_of
from lawm_models.algorithms.lawm import Algorithm
from lawm_models.runs.run import load_run

LABELS = "5pct"
STATE = ArraySpec(name="state", shape=(OBSERVATION,))


def write_corpus(path: Path, trajectories: int, steps: int) -> Path:
    """Trajectories of a stable linear system under random actions; a mask shows 5% of them."""
    rng = np.random.default_rng(0)
    stay = 0.95 * np.linalg.qr(rng.standard_normal((OBSERVATION, OBSERVATION)))[0]
    push = 0.3 * rng.standard_normal((ACTION, OBSERVATION))
    with CorpusWriter.create(path, observations=(STATE,), action=ARRAYS.action) as writer:
        for seed in range(trajectories):
            action = rng.uniform(-1, 1, (steps, ACTION)).astype(np.float32)
            state = np.zeros((steps + 1, OBSERVATION), np.float32)
            state[0] = rng.standard_normal(OBSERVATION)
            for t in range(steps):
                state[t + 1] = state[t] @ stay + action[t] @ push
            reward = np.exp(-np.square(state[1:, 0]))
            provenance = Provenance(source="linear system", seed=seed)
            writer.add({"state": state}, reward, action, provenance=provenance)
    corpus = open_corpus(path)
    save_mask(corpus, make_mask(corpus, 0.05, seed=0, name=LABELS))
    return path


def seconds(step: Any, device: torch.device, count: int) -> float:
    """Median seconds of a step, after two to warm up."""
    times = []
    for number in range(count + 2):
        began = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if number > 1:
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def product_rate(device: torch.device, size: int) -> float:
    """FLOP/s of a square product."""
    a, b, out = (torch.randn(size, size, device=device) for _ in range(3))
    return 2 * size**3 / seconds(lambda: torch.mm(a, b, out=out), device, 5)


def steps_of(corpus: Path, size: str, models: int, device: torch.device, count: int) -> Any:
    """One row of the table."""
    config, batch_size, window = SIZES[size]
    view = open_corpus(corpus).with_mask(LABELS)
    loaders = [
        Loader(view, batch_size, window, labeled_ratio=0.25, seed=seed, device=device)
        for seed in range(models)
    ]
    batches = [loader.next() for loader in loaders]
    row: dict[str, Any] = {"size": size, "models": models}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for stage in ("model", "agent"):
        took = seconds(stack_step(config, batches, stage), device, count)
        row[f"{stage}_milliseconds"] = round(1e3 * took, 3)
        if stage == "model":
            flops = models * model_flops(Algorithm(config, ARRAYS).model, batches[0])
            row["model_tflops_per_second"] = round(flops / took / 1e12, 6)
    row["batch_milliseconds"] = round(1e3 * seconds(loaders[0].next, device, count), 3)
    if device.type == "cuda":
        row["peak_bytes"] = torch.cuda.max_memory_allocated(device)
    return row


def train_until(deadline: float, corpus: Path, runs: Path, arguments: argparse.Namespace) -> Any:
    """LAWM, then C-LAP, each for half of the time that is left; what they reached."""
    reached = {}
    for number, name in enumerate(("lawm", "clap")):
        left = (deadline - time.monotonic()) / (2 - number)
        out = runs / name
        words = ["--corpus", f"{corpus}@{LABELS}", "--algorithm", name, "--out", out]
        words += ["--preset", arguments.preset, "--device", arguments.device]
        for setting in ("evaluation_episodes=0", "log_every=10", *arguments.settings):
            words += ["--set", setting]
        program = "import sys; from lawm_cli.entry import lawm; sys.exit(lawm())"
        command = [sys.executable, "-c", program, "train", *map(str, words)]
        process = subprocess.Popen(command)
        try:
            process.wait(max(1.0, left))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # it writes a checkpoint
            process.wait()
        lines = load_run(out).metrics if (out / "config.yaml").is_file() else []
        reached[name] = lines[-1] if lines else None
    return reached


def main() -> None:
    """Measure, train, print; write JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=SIZES, default="paper")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--models", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--count", type=int, default=20, help="timed steps of each kind")
    parser.add_argument("--trajectories", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    deadline = time.monotonic() + 60 * arguments.minutes
    device = device_of(arguments.device)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    corpus = arguments.runs / "corpus"
    if not corpus.exists():
        write_corpus(corpus, arguments.trajectories, 500)
    rate = product_rate(device, 8192 if device.type == "cuda" else 512)
    rows = [
        steps_of(corpus, arguments.size, models, device, arguments.count)
        for models in arguments.models
    ]
    for row in rows:
        row["share_of_product_rate"] = round(row["model_tflops_per_second"] * 1e12 / rate, 6)
    cuda = device.type == "cuda"
    document = {
        "benchmark": "gpu",
        "command": f"python {' '.join(sys.argv)}",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("lawm", "torch")},
        },
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "product_tflops_per_second": round(rate / 1e12, 3),
        "steps": rows,
        "trained": train_until(deadline, corpus, arguments.runs, arguments),
    }
    print(json.dumps(document, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
