"""Windows per second from a corpus on disk, against gathers from tensors in memory.

The corpus has 24 state, 6 action and 1 reward floats per step and lies in the page cache. Every
way fetches the same number of random windows, B x T steps; rounds are interleaved, one thread,
process CPU time (its noise on a busy machine is smaller than the clock's), ratios are medians of
the rounds' ratios.

- ``loader``: ``Loader.next()``, whole: drawing the windows, T+1 observations, masks, flags and a
  ``Batch``, read from the memory-mapped corpus;
- ``loader_5pct``: the same through a mask that leaves 5% of the labels, at a labeled ratio of 0.25;
- ``index_select``: one ``torch.index_select`` of the steps of the very windows that ``loader`` has
  just drawn, from one tensor in memory, (steps, 31), observation, action and reward in a row. The
  flat indices of the B x T rows are made beforehand and not timed;
- ``index_select_three``: the same with three tensors, observation, action and reward, so that they
  come apart, as in a ``Batch``;
- ``index_select_drawn``: ``index_select`` with uniform windows of its own, drawn with
  ``torch.randint``, and the indices worked out, all timed.

With ``--peers``, where installed: ``torchrl``, ``ReplayBuffer.sample`` with a ``SliceSampler`` that
caches its trajectory boundaries on a ``LazyMemmapStorage``; ``minari``, ``sample_episodes`` and a
random slice of each, from its HDF5 storage.

    python benchmarks/sampling.py --out benchmarks/results/sampling.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sampling_peers
import torch
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import CorpusWriter, Loader, make_mask, open_corpus

PACKAGES = ("lawm", "torch", "numpy", "h5py", "torchrl", "minari")
OBSERVATION, ACTION = 24, 6

Way = Callable[[], float]
"""Fetches a round of batches and returns the CPU seconds it took."""


class Size(NamedTuple):
    """Of the corpus, of a batch, and of a round."""

    trajectories: int
    length: int
    batch: int
    window: int
    batches: int


def trajectory(size: Size, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations (T+1, 24), actions (T, 6) and rewards (T,), random."""
    rng = np.random.default_rng(number)
    steps = size.length
    observation = rng.standard_normal((steps + 1, OBSERVATION), dtype=np.float32)
    action = rng.random((steps, ACTION), dtype=np.float32)
    return observation, action, rng.random(steps, dtype=np.float32)


def write_corpus(path: Path, size: Size) -> None:
    """The trajectories as a corpus."""
    observations = (ArraySpec(name="state", shape=(OBSERVATION,)),)
    action = ArraySpec(name="action", shape=(ACTION,), role=Role.action)
    provenance = Provenance(source="random numbers")
    with CorpusWriter.create(path, observations=observations, action=action) as writer:
        for number in range(size.trajectories):
            state, actions, rewards = trajectory(size, number)
            writer.add({"state": state}, rewards, actions, provenance=provenance)


def packed_rows(size: Size) -> torch.Tensor:
    """The same trajectories as one tensor, (steps, 31)."""
    rows = torch.empty(size.trajectories * size.length, OBSERVATION + ACTION + 1)
    for number in range(size.trajectories):
        state, actions, rewards = trajectory(size, number)
        begin = number * size.length
        joined = np.concatenate([state[:-1], actions, rewards[:, None]], axis=1)
        rows[begin : begin + size.length] = torch.from_numpy(joined)
    return rows


def timed(fetch: Callable[[], Any], size: Size) -> float:
    """CPU seconds of a round; each batch is dropped when the next one is there, as in training."""
    began = time.process_time()
    batch = None
    for _ in range(size.batches):
        batch = fetch()
    seconds = time.process_time() - began
    del batch
    return seconds


def loader(path: Path, size: Size) -> Way:
    """Our loader."""
    batches = Loader([(open_corpus(path), 1.0)], size.batch, size.window)
    return lambda: timed(batches.next, size)


def masked_loader(path: Path, size: Size) -> Way:
    """Our loader on a corpus with 5% of its labels."""
    corpus = open_corpus(path)
    view = corpus.with_mask(make_mask(corpus, 0.05, 0, "5pct"))
    batches = Loader([(view, 1.0)], size.batch, size.window, labeled_ratio=0.25)
    return lambda: timed(batches.next, size)


def index_select(tensors: Sequence[torch.Tensor], path: Path, size: Size) -> Way:
    """The windows of ``loader`` in the same round, from memory."""
    batches = Loader([(open_corpus(path), 1.0)], size.batch, size.window)
    steps = torch.arange(size.window)

    def index() -> torch.Tensor:
        batch = batches.next()
        start = batch.trajectory * size.length + batch.start
        return (start[:, None] + steps).flatten()

    def run() -> float:
        prepared = iter([index() for _ in range(size.batches)])

        def fetch() -> list[torch.Tensor]:
            rows = next(prepared)
            return [torch.index_select(tensor, 0, rows) for tensor in tensors]

        return timed(fetch, size)

    return run


def index_select_drawn(rows: torch.Tensor, size: Size) -> Way:
    """Windows from memory, drawn as simply as equal lengths allow."""
    steps = torch.arange(size.window)

    def fetch() -> torch.Tensor:
        number = torch.randint(size.trajectories, (size.batch,))
        start = torch.randint(size.length - size.window + 1, (size.batch,))
        first = number * size.length + start
        return torch.index_select(rows, 0, (first[:, None] + steps).flatten())

    return lambda: timed(fetch, size)


def interleave(ways: dict[str, Way], rounds: int) -> dict[str, list[float]]:
    """Seconds of every way in every round; each round begins with another way."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        order = list(ways)
        first = number % len(order)
        for name in order[first:] + order[:first]:
            seconds = ways[name]()
            if number:  # the round before the first one warms the page tables
                times[name].append(seconds)
    return times


def opening(path: Path, times: int = 20) -> float:
    """Median milliseconds of the wall clock to open the corpus."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        open_corpus(path)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


def report(times: dict[str, list[float]], size: Size) -> dict[str, Any]:
    """Batches per CPU second, and the ratio of the loader to each other way."""
    own = times["loader"]
    return {
        name: {
            "batches_per_second": round(size.batches / statistics.median(seconds), 1),
            "loader_ratio": round(
                statistics.median(s / o for s, o in zip(seconds, own, strict=False)), 3
            ),
        }
        for name, seconds in times.items()
    }


def peer(name: str, folder: Path, size: Size, own: Way) -> Any:
    """A way of ``sampling_peers`` beside our loader, in few and small rounds."""
    if importlib.util.find_spec(name) is None:
        return "not installed"
    few = size._replace(batches=2)
    fetch = getattr(sampling_peers, name)(folder, size, trajectory)
    ways = {"loader": lambda: own() * few.batches / size.batches, name: lambda: timed(fetch, few)}
    return report(interleave(ways, 5), few)[name]


def measure(folder: Path, size: Size, rounds: int, peers: bool) -> dict[str, Any]:
    """Everything, over a corpus written into a folder."""
    path = folder / "corpus"
    write_corpus(path, size)
    rows = packed_rows(size)
    parts = [part.contiguous() for part in rows.split([OBSERVATION, ACTION, 1], dim=1)]
    results: dict[str, Any] = {"open_ms": round(opening(path), 2)}
    for shard in open_corpus(path).shards:  # into the page cache
        assert shard.actions is not None
        shard.steps.sum()
        shard.actions.sum()
    ways = {
        "loader": loader(path, size),
        "index_select": index_select([rows], path, size),
        "index_select_three": index_select(parts, path, size),
        "index_select_drawn": index_select_drawn(rows, size),
        "loader_5pct": masked_loader(path, size),
    }
    results["ways"] = report(interleave(ways, rounds), size)
    if peers:
        for name in ("torchrl", "minari"):
            results["ways"][name] = peer(name, folder / name, size, ways["loader"])
    return results


def installed(package: str) -> str | None:
    """Its version."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Measure and print; write JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trajectories", type=int, default=2000)
    parser.add_argument("--length", type=int, default=500, help="steps of each trajectory")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--batches", type=int, default=64, help="batches per round")
    parser.add_argument("--rounds", type=int, default=51)
    parser.add_argument("--peers", action="store_true", help="TorchRL and Minari, if installed")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    torch.set_num_threads(1)
    size = Size(args.trajectories, args.length, args.batch, args.window, args.batches)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), size, args.rounds, args.peers)
    written = {
        "benchmark": "sampling",
        "command": f"python {' '.join(sys.argv)}",
        "versions": {
            "python": platform.python_version(),
            **{name: version for name in PACKAGES if (version := installed(name))},
        },
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "size": size._asdict(),
        "rounds": args.rounds,
        "results": results,
    }
    print(json.dumps(written, indent=2))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
