"""Random windows of pixels: frames a CPU-second, by chunk, codec and reader.

``python benchmarks/pixel_windows.py CORPUS`` takes the frames of a corpus with pixels, stores them
in every way below, and reads windows of 2, 16 and 50 frames that begin anywhere. ``ours`` is how a
corpus is stored and read. zstd (``hdf5plugin``) and ISA-L (``isal``) are left out where they are
not installed. ``--peers`` reads the same windows by other libraries instead (``pixel_peers.py``),
and by ours before and after each of them; those that cannot be used are named with what they said.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from lawm_schemas import ArraySpec, Role

from lawm_data.batches.gather import SliceReader
from lawm_data.corpus.corpus import open_corpus
from lawm_data.corpus.writing.encode import GZIP_LEVEL, compression
from lawm_data.system import hdf5
from lawm_models.training.versions import installed_versions

WINDOWS = (2, 16, 50)
CHUNKS = (1, 5, 10, 16, 32)
AT_ONCE = 32
"""Windows of a batch."""
SECONDS = 0.3
"""CPU seconds for a measurement."""
BEFORE = {"chunk": 10, "codec": "gzip 1", "reader": "HDF5"}
"""How pixels of 64 x 64 were stored and read before this was measured."""


def codecs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and options of ``create_dataset``."""
    yield "none", {}
    yield "lzf", {"compression": "lzf"}
    for level in (1, 4):
        yield f"gzip {level}", {"compression": "gzip", "compression_opts": level}
    if find_spec("hdf5plugin"):
        yield "zstd 3", dict(import_module("hdf5plugin").Zstd(clevel=3))


def rates(read: Callable[[np.ndarray, int], object], rows: int) -> dict[str, float]:
    """Frames a CPU-second of random windows, by their length."""
    draws, found = np.random.default_rng(0), {}
    for window in WINDOWS:
        done, begun = 0, time.process_time()
        while time.process_time() - begun < SECONDS:
            read(draws.integers(0, rows - window, AT_ONCE), window)
            done += AT_ONCE * window
        found[str(window)] = done / (time.process_time() - begun)
    return found


def by_slices(dataset: h5py.Dataset) -> Callable[[np.ndarray, int], object]:
    """Reads windows through the library, as most programs do."""
    return lambda first, window: np.stack([dataset[i : i + window] for i in first.tolist()])


def by_us(dataset: h5py.Dataset) -> Callable[[np.ndarray, int], object]:
    """Reads windows as a loader does."""
    field = hdf5.ChunkedField(dataset, "benchmark")
    return lambda first, window: SliceReader([field], window)(np.zeros_like(first), first)


def measure(frames: np.ndarray, folder: Path) -> list[dict[str, Any]]:
    """Every chunk, codec and reader."""
    spec = ArraySpec(name="pixels", shape=frames.shape[1:], dtype="uint8", role=Role.pixels)
    usual, found = compression(spec)["chunks"][0], []
    for chunk in CHUNKS:
        for name, options in codecs():
            file = folder / "frames.h5"
            begun = time.process_time()
            with h5py.File(file, "w") as written:
                written.create_dataset("x", data=frames, chunks=(chunk, *spec.shape), **options)
            writing = len(frames) / (time.process_time() - begun)
            with h5py.File(file, "r", rdcc_nbytes=hdf5.CHUNK_CACHE) as opened:
                dataset = opened["x"]
                assert isinstance(dataset, h5py.Dataset)
                row = {
                    "chunk": chunk,
                    "codec": name,
                    "bytes_per_frame": dataset.id.get_storage_size() / len(frames),
                    "written_per_second": writing,
                }
                found.append(
                    {
                        **row,
                        "reader": "HDF5",
                        "frames_per_second": rates(by_slices(dataset), len(frames)),
                    }
                )
                if name.startswith("gzip"):
                    readers = {"zlib": import_module("zlib")}
                    if find_spec("isal"):
                        readers["ISA-L"] = import_module("isal.isal_zlib")
                    for reader, module in readers.items():
                        hdf5._ZLIB = module
                        rate = rates(by_us(dataset), len(frames))
                        ours = chunk == usual and name == f"gzip {GZIP_LEVEL}"
                        found.append(
                            {**row, "reader": reader, "ours": ours, "frames_per_second": rate}
                        )
    return found


def beside_peers(frames: np.ndarray, folder: Path) -> list[dict[str, Any]]:
    """Every peer, each between two measurements of ours, of which the slower one counts."""
    from pixel_peers import PEERS

    spec = ArraySpec(name="pixels", shape=frames.shape[1:], dtype="uint8", role=Role.pixels)
    file, rows = folder / "ours.h5", []
    with h5py.File(file, "w") as written:
        written.create_dataset("x", data=frames, **compression(spec))
    readers = {"ours": import_module("zlib")}
    if find_spec("isal"):
        readers["ours, with isal"] = import_module("isal.isal_zlib")
    with h5py.File(file, "r", rdcc_nbytes=hdf5.CHUNK_CACHE) as opened:
        dataset = opened["x"]
        assert isinstance(dataset, h5py.Dataset)
        stored = dataset.id.get_storage_size() / len(frames)
        ours: dict[str, list[dict[str, float]]] = {name: [] for name in readers}

        def measure_ours() -> None:
            for name, module in readers.items():
                hdf5._ZLIB = module
                ours[name].append(rates(by_us(dataset), len(frames)))

        measure_ours()
        for name, (make, lossless) in PEERS.items():
            own = folder / name
            own.mkdir()
            try:
                read = make(frames, own)
                found = rates(read, len(frames))
            except Exception as error:  # whatever a library that does not work raises
                line = re.sub(r"/\S+/", "", str(error).strip().partition("\n")[0])
                why = f"{type(error).__name__}: {line}"
                rows.append({"reader": name, "failed": why})
                continue
            size = sum(path.stat().st_size for path in own.rglob("*") if path.is_file())
            row = {"reader": name, "lossless": lossless, "bytes_per_frame": size / len(frames)}
            rows.append({**row, "frames_per_second": found})
            measure_ours()
    for name, all_of_it in ours.items():
        slowest = {window: min(each[window] for each in all_of_it) for window in all_of_it[0]}
        row = {"reader": name, "lossless": True, "bytes_per_frame": stored}
        rows.append({**row, "frames_per_second": slowest})
    return rows


def main() -> None:
    """Measure, print a table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--peers", action="store_true", help="other libraries, not other chunks")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    corpus, taken, count = open_corpus(asked.corpus), [], 0
    for trajectory in corpus:
        taken.append(trajectory.observations["pixels"])
        count += len(taken[-1])
        if count >= asked.frames:
            break
    frames = np.concatenate(taken)[: asked.frames]
    with tempfile.TemporaryDirectory() as folder:
        rows = (beside_peers if asked.peers else measure)(frames, Path(folder))
    for row in rows:
        if "failed" in row:
            print(f"{row['reader']:30s} {row['failed']}")
            continue
        speed = "  ".join(f"{rate:9,.0f}" for rate in row["frames_per_second"].values())
        mark = "ours" if row.get("ours") else ""
        chunk = f"{row['chunk']:3d}  {row['codec']:7s} " if "chunk" in row else ""
        where = f"{chunk}{row['reader']:{6 if chunk else 30}s}"
        print(f"{where} {row['bytes_per_frame']:8,.0f} bytes  {speed}  {mark}")
    if asked.out:
        task = corpus.manifest.environment.task if corpus.manifest.environment else None
        result = {
            "command": "python " + " ".join(sys.argv),
            "versions": installed_versions(),
            "task": task,
            "frames": list(frames.shape),
            "before": BEFORE,
            "rows": rows,
        }
        asked.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
