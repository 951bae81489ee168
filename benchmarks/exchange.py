"""Import and export of every format, as a ratio to copying the bytes, with the memory it takes.

Each conversion runs in a process of its own, so that its peak of resident memory is its own.

    python benchmarks/exchange.py --megabytes 1000 --out benchmarks/results/exchange.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import CorpusWriter, open_corpus
from lawm_data.exchange import export_corpus, import_corpus
from lawm_data.exchange.formats import FORMATS
from lawm_models.training.versions import installed_versions

LENGTH = 500
EDGE = 64


def make_corpus(path: Path, megabytes: int, pixels: bool) -> None:
    """Random trajectories of 500 steps, a third of them without actions."""
    rng = np.random.default_rng(0)
    observations = [ArraySpec(name="state", shape=(24,)), ArraySpec(name="height", shape=())]
    size = (LENGTH + 1) * 26 * 4
    if pixels:
        shape = (EDGE, EDGE, 3)
        observations.append(ArraySpec(name="camera", shape=shape, dtype="uint8", role=Role.pixels))
        size += (LENGTH + 1) * EDGE * EDGE * 3
    action = ArraySpec(
        name="action", shape=(6,), role=Role.action, low=(-1.0,) * 6, high=(1.0,) * 6
    )
    with CorpusWriter.create(path, observations=observations, action=action) as writer:
        for i in range(max(3, (megabytes << 20) // size)):
            arrays: dict[str, Any] = {
                "state": rng.standard_normal((LENGTH + 1, 24), np.float32),
                "height": rng.standard_normal(LENGTH + 1, np.float32),
            }
            if pixels:
                # a picture that moves, so that it can be compressed like one
                base = rng.integers(0, 256, (EDGE, EDGE, 3), dtype=np.uint8)
                arrays["camera"] = np.stack([np.roll(base, t, 0) for t in range(LENGTH + 1)])
            writer.add(
                arrays,
                rng.standard_normal(LENGTH, np.float32),
                None if i % 3 == 0 else rng.uniform(-1, 1, (LENGTH, 6)).astype(np.float32),
                truncated=True,
                provenance=Provenance(source="random"),
            )
            if writer.pending_bytes > 64 << 20:
                writer.commit()


def convert(verb: str, address: str, folder: Path) -> dict[str, float]:
    """One conversion in this process."""
    began = time.perf_counter()
    if verb == "export":
        export_corpus(open_corpus(folder / "corpus"), address)
    else:
        import_corpus(address, folder / "back")
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak_mib()}


def peak_mib() -> float:
    """Most resident memory of this process; its ``ru_maxrss`` begins with that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def apart(verb: str, address: str, folder: Path) -> dict[str, float]:
    """One conversion in a process of its own."""
    words = [sys.executable, __file__, "--convert", verb, address, str(folder)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def size_of(path: Path) -> int:
    """Bytes of a file, or of a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def copying(folder: Path) -> float:
    """Seconds to copy the corpus, synced."""
    began = time.perf_counter()
    shutil.copytree(folder / "corpus", folder / "copy")
    for file in (folder / "copy").rglob("*"):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    seconds = time.perf_counter() - began
    shutil.rmtree(folder / "copy")
    return seconds


def measure(name: str, folder: Path, corpus_bytes: int, copied: float) -> list[dict[str, Any]]:
    """Export and import of one format."""
    module = FORMATS.load(name)
    address, target = f"{name}:{module.ABOUT.place}", module.locate(module.ABOUT.place)
    rows = []
    for verb in ("export", "import"):
        found = apart(verb, address, folder)
        rate = corpus_bytes / found["seconds"] / 1e6
        row = {"format": name, "verb": verb, "ratio": found["seconds"] / copied, "mb_s": rate}
        rows.append(row | found | {"bytes": size_of(target)})
        print(
            f"{name:<10} {verb:<6} {rate:7.0f} MB/s  {row['ratio']:6.1f} x copying"
            f"  {found['cpu_seconds']:5.1f} s of CPU  peak {found['peak_mib']:5.0f} MiB"
        )
    shutil.rmtree(folder / "back")
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    return rows


def main() -> None:
    """Measure every format that can be written, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--pixels", action="store_true")
    parser.add_argument("--formats", nargs="*")
    parser.add_argument("--folder", type=Path, help="work here instead of in the temporary folder")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--convert", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.convert:
        verb, address, folder = options.convert
        print(json.dumps(convert(verb, address, Path(folder))))
        return
    writable = [name for name in FORMATS.names() if FORMATS.load(name).ABOUT.writes]
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder, out = Path(place).absolute(), options.out and options.out.absolute()
        os.chdir(folder)
        os.environ["MINARI_DATASETS_PATH"] = str(folder)
        make_corpus(folder / "corpus", options.megabytes, options.pixels)
        size, copied = size_of(folder / "corpus"), copying(folder)
        print(f"corpus of {size / 1e6:.0f} MB, copied in {copied:.2f} s")
        rows = [
            row
            for name in options.formats or writable
            for row in measure(name, folder, size, copied)
        ]
    if out:
        result = {
            "command": "python " + " ".join(sys.argv),
            "versions": installed_versions(),
            "corpus_bytes": size,
            "copy_seconds": copied,
            "rows": rows,
        }
        out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
