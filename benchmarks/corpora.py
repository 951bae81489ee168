"""What corpora of ever more short trajectories cost: CPU time, memory, and how both grow.

Every operation runs in a process of its own, so that its peak of resident memory is its own. The
exponent is that of the growth from one number of trajectories to the next: 1 is as many times the
time. ``copies`` is the time in copies of the corpus's files, synced, by the wall clock of both.

    python benchmarks/corpora.py --counts 10000 100000 1000000 --out benchmarks/results/corpora.json
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from exchange import copying, peak_mib, size_of
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import (
    CorpusWriter,
    Loader,
    filter_corpus,
    make_mask,
    merge_corpora,
    open_corpus,
    split_corpus,
)
from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.mask import save_mask
from lawm_data.inspection.summary import summarize
from lawm_models.training.versions import installed_versions

LENGTH, MASK, BATCHES = 10, "5pct", 200


def write(path: Path, count: int, sources: int = 1) -> None:
    """Commit random trajectories of 10 steps, from so many sources in turn."""
    rng = np.random.default_rng(0)
    action = ArraySpec(name="action", shape=(6,), role=Role.action, low=(-1,) * 6, high=(1,) * 6)
    observations = [ArraySpec(name="state", shape=(24,))]
    with CorpusWriter.create(path, observations=observations, action=action) as writer:
        for n in range(count):
            writer.add(
                {"state": rng.standard_normal((LENGTH + 1, 24), np.float32)},
                np.zeros(LENGTH, np.float32),
                rng.uniform(-1, 1, (LENGTH, 6)).astype(np.float32),
                provenance=Provenance(source="random", seed=n % sources),
            )
            if writer.pending_bytes > 64 << 20:
                writer.commit()


def load(paths: list[Path]) -> None:
    """Some batches from several corpora in one loader."""
    loader = Loader([(open_corpus(path), 1.0) for path in paths], 64, LENGTH)
    for _ in range(BATCHES):
        loader.next()


def operations(folder: Path, count: int) -> dict[str, Callable[[], Any]]:
    """What is measured, by name; ``write`` comes first and makes what the others take."""
    corpus, out = folder / "corpus", folder / "out"

    def masked() -> Any:
        return open_corpus(corpus).with_mask(MASK)

    return {
        "write": lambda: write(corpus, count),
        "write, a source each": lambda: write(out, count, sources=count),
        "mask": lambda: save_mask(
            open_corpus(corpus), make_mask(open_corpus(corpus), 0.05, 0, MASK)
        ),
        "info": lambda: summarize(open_corpus(corpus)),
        "validate": lambda: validate(corpus),
        "filter": lambda: filter_corpus(open_corpus(corpus), "length > 1", out),
        "filter through a mask": lambda: filter_corpus(masked(), "length > 1", out),
        "split": lambda: split_corpus(open_corpus(corpus), {"a": 0.9, "b": 0.1}, out),
        "merge with itself": lambda: merge_corpora([open_corpus(corpus)] * 2, out),
        f"{BATCHES} batches": lambda: load([corpus]),
        f"{BATCHES} batches of 8 corpora": lambda: load([corpus] * 8),
    }


def run(name: str, count: int, folder: Path) -> dict[str, float]:
    """One operation in this process."""
    work = operations(folder, count)[name]
    began, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak_mib()}


def measure(count: int, folder: Path) -> dict[str, Any]:
    """All operations on one number of trajectories."""
    rows: dict[str, Any] = {}
    for name in operations(folder, count):
        words = [sys.executable, __file__, "--run", name, str(count), str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        rows[name] = json.loads(done.stdout)
        shutil.rmtree(folder / "out", ignore_errors=True)
    copied = copying(folder)
    for row in rows.values():
        row["copies"] = row["seconds"] / copied
    return {"bytes": size_of(folder / "corpus"), "copy_seconds": copied, "operations": rows}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        name, count, folder = options.run
        print(json.dumps(run(name, int(count), Path(folder))))
        return
    sizes: dict[int, Any] = {}
    for count in sorted(options.counts):
        with tempfile.TemporaryDirectory() as place:
            sizes[count] = measure(count, Path(place))
        fewer = [*sizes][-2:][0]
        for name, row in sizes[count]["operations"].items():
            growth = ""
            if fewer < count:
                before = sizes[fewer]["operations"][name]["cpu_seconds"]
                row["exponent"] = math.log(row["cpu_seconds"] / before, count / fewer)
                growth = f"  exponent {row['exponent']:.2f}"
            micro = row["cpu_seconds"] / count * 1e6
            print(
                f"{count:9,} {name:24} {row['cpu_seconds']:8.2f} s of CPU {micro:8.1f} µs each"
                f"  {row['copies']:6.1f} copies  {row['peak_mib']:6.0f} MiB{growth}",
                flush=True,
            )
    if options.out:
        result = {
            "command": " ".join(["python", "benchmarks/corpora.py", *sys.argv[1:]]),
            "versions": installed_versions(),
            "length": LENGTH,
            "trajectories": {str(count): row for count, row in sizes.items()},
        }
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
