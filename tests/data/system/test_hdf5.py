from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lawm_schemas import ArraySpec, CorpusError, Role

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate

OBSERVATIONS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="camera", shape=(2, 2, 3), dtype="uint8", role=Role.pixels),
    ArraySpec(name="clock", shape=(1,), dtype="float64"),
)
SECRET = b"the secret of another file" * 100


def store_again(path: Path, change: Callable[[Path], None]) -> None:
    """Change the one shard, and make the manifest agree: its author is the attacker."""
    manifest = json.loads((path / "corpus.json").read_text())
    del manifest["checksum"]
    (entry,) = manifest["shards"]
    shard = path / "shards" / entry["file"]
    change(shard)
    content = shard.read_bytes()
    entry |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (path / "corpus.json").write_text(json.dumps(manifest))


def replaced(name: str, make: Callable[[h5py.File, np.ndarray, Path], Any]) -> Callable:
    """A change of one dataset: it is removed, and ``make`` puts something else there."""

    def change(shard: Path) -> None:
        outside = shard.parent.parent.parent / "secret.h5"
        with h5py.File(outside, "w") as other:
            other[name] = np.zeros(10_000)
        (outside.parent / "secret.raw").write_bytes(SECRET)
        with h5py.File(shard, "r+") as file:
            old = file[name][()]
            del file[name]
            make(file, old, outside)

    return change


def external_link(name: str) -> Callable:
    def make(file: h5py.File, old: np.ndarray, outside: Path) -> None:
        file[name] = h5py.ExternalLink(str(outside), name)

    return replaced(name, make)


def soft_link(name: str) -> Callable:
    def make(file: h5py.File, old: np.ndarray, outside: Path) -> None:
        file["elsewhere"] = old
        file[name] = h5py.SoftLink("/elsewhere")

    return replaced(name, make)


def external_storage(name: str) -> Callable:
    def make(file: h5py.File, old: np.ndarray, outside: Path) -> None:
        raw = [(str(outside.parent / "secret.raw"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset(name, old.shape, old.dtype, external=raw)

    return replaced(name, make)


def virtual(name: str) -> Callable:
    def make(file: h5py.File, old: np.ndarray, outside: Path) -> None:
        layout = h5py.VirtualLayout(old.shape, old.dtype)
        layout[...] = h5py.VirtualSource(str(outside), name, old.shape)
        file.create_virtual_dataset(name, layout)

    return replaced(name, make)


def dataset(name: str, **options: Any) -> Callable:
    """The dataset as it was, but for ``options`` of ``create_dataset``."""

    def make(file: h5py.File, old: np.ndarray, outside: Path) -> None:
        kept = {} if "shape" in options else {"data": old.astype(options.get("dtype", old.dtype))}
        file.create_dataset(name, **kept | options)

    return replaced(name, make)


def a_group(name: str) -> Callable:
    return replaced(name, lambda file, old, outside: file.create_group(name))


def nothing(name: str) -> Callable:
    return replaced(name, lambda file, old, outside: None)


def patched_offset(shard: Path) -> None:
    """``steps`` is said to begin so late that its end lies beyond the end of the file."""
    with h5py.File(shard, "r") as file:
        offset, size = file["steps"].id.get_offset(), file["steps"].id.get_storage_size()
    content = shard.read_bytes()
    known, later = (
        place.to_bytes(8, "little") + size.to_bytes(8, "little")
        for place in (offset, len(content) - size + 8)
    )
    assert content.count(known) == 1
    shard.write_bytes(content.replace(known, later))


def user_block(shard: Path) -> None:
    shard.write_bytes(b"#!/bin/sh\n".ljust(512, b"\0") + shard.read_bytes())


HOSTILE = {
    "external link": (external_link("steps"), "steps: is a link to another place"),
    "external link to a group": (external_link("fields/clock"), "clock: is a link"),
    "soft link": (soft_link("actions"), "actions: is a link to another place"),
    "external storage": (external_storage("steps"), "steps: is not stored contiguously"),
    "external table": (external_storage("table/length"), "length: is not stored contiguously"),
    "virtual dataset": (virtual("steps"), "steps: is not stored contiguously"),
    "virtual pixels": (virtual("fields/camera"), "camera: is not stored in chunks"),
    "external pixels": (external_storage("fields/camera"), "camera: is not stored in chunks"),
    "chunks": (dataset("steps", chunks=(1, 3)), "steps: is not stored contiguously"),
    "compression": (dataset("actions", compression="gzip"), "actions: is not stored contig"),
    "contiguous pixels": (dataset("fields/camera"), "camera: is not stored in chunks"),
    "another filter": (
        dataset("fields/camera", compression="lzf", chunks=(4, 2, 2, 3)),
        "camera: uses a filter other than deflate and shuffle",
    ),
    "objects": (
        dataset("steps", shape=(9, 3), dtype=h5py.string_dtype()),
        "steps: has type object instead of float32",
    ),
    "references": (dataset("steps", shape=(9, 3), dtype=h5py.ref_dtype), "steps: has type object"),
    "compound": (dataset("steps", shape=(9, 3), dtype="f4,f4"), "steps: has type"),
    "doubles": (dataset("steps", dtype="<f8"), "steps: has type float64 instead of float32"),
    "big-endian": (dataset("steps", dtype=">f4"), "steps: has type >f4 instead of float32"),
    "4 TB that are not there": (
        dataset("steps", shape=(1 << 38, 3), dtype="<f4"),
        "steps: reaches beyond the end of the file",
    ),
    "overflowing shape": (
        dataset("fields/clock", shape=(1 << 60, 1), dtype="<f8"),
        "clock: has shape",
    ),
    "4 TB of pixels": (
        dataset("fields/camera", shape=(1 << 38, 2, 2, 3), dtype="u1", chunks=(8, 2, 2, 3)),
        "camera: has shape",
    ),
    "pixels without bytes": (
        dataset("fields/camera", shape=(97, 2, 2, 3), dtype="u1", chunks=(8, 2, 2, 3)),
        "camera: declares 1164 bytes in 0",
    ),
    "a huge chunk": (
        dataset(
            "fields/camera",
            chunks=(1 << 28, 2, 2, 3),
            maxshape=(None, 2, 2, 3),
            shape=(97, 2, 2, 3),
            dtype="u1",
        ),
        r"camera: has chunks of shape \(268435456, 2, 2, 3\)",
    ),
    "chunks across frames": (
        dataset("fields/camera", chunks=(8, 1, 2, 3), compression="gzip"),
        "camera: has chunks of shape",
    ),
    "a scalar": (dataset("steps", shape=(), dtype="<f4"), r"steps: has shape \(\)"),
    "a group": (a_group("steps"), "steps: is not a dataset"),
    "missing column": (nothing("table/row"), "table/row: is missing"),
    "missing steps": (nothing("steps"), "steps: is missing"),
    "missing field": (nothing("fields/clock"), "fields/clock: is missing"),
    "offset outside": (patched_offset, "steps: (reaches beyond the end|cannot be read)"),
    "user block": (user_block, "has a user block"),
    "not HDF5": (lambda shard: shard.write_bytes(b"x" * 9999), "not a readable HDF5 file"),
    "empty": (lambda shard: shard.write_bytes(b""), "is empty"),
}


@pytest.mark.parametrize(("change", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_shards_are_refused_before_reading(
    random_corpus: Callable, change: Callable[[Path], None], message: str
) -> None:
    path = random_corpus(observations=OBSERVATIONS).path
    store_again(path, change)
    with pytest.raises(CorpusError, match=message) as caught:
        open_corpus(path)
    assert "\n" not in str(caught.value)
    assert "error" in {finding.severity for finding in validate(path)}


def altered(column: str, at: int, value: int) -> Callable[[Path], None]:
    def change(shard: Path) -> None:
        with h5py.File(shard, "r+") as file:
            file[f"table/{column}"][at] = value

    return change


LIES = {
    "a row elsewhere": ("row", 1, 0),
    "a row outside": ("row", 7, 1 << 40),
    "a negative row": ("row", 0, -1),
    "another trajectory's actions": ("action_row", 1, 0),
    "actions of a trajectory without": ("action_row", 2, 0),
    "actions outside": ("action_row", 7, 1 << 40),
    "a length of 0": ("length", 0, 0),
    "a negative length": ("length", 0, -5),
    "an overflowing length": ("length", 0, (1 << 63) - 1),
    "labels of no state": ("labels", 0, 7),
    "withheld on disk": ("labels", 0, 1),
    "observed without actions": ("labels", 2, 0),
    "missing with actions": ("labels", 0, 2),
    "more observed than there are": ("num_observed", 0, 10),
    "observed, but not one": ("num_observed", 0, 0),
    "partly observed without flags": ("num_observed", 0, 8),
    "a flag that is not one": ("terminated", 0, 2),
    "a source that is not there": ("provenance", 0, 1),
    "a negative source": ("provenance", 0, -1),
    "another order": ("ordinal", 0, 3),
    "an id of control characters": ("id", 0, b"\x1b[2J"),
    "an id of a path": ("id", 0, b"../x"),
    "no id": ("id", 0, b""),
    "an infinite return": ("episode_return", 0, np.inf),
    "a return that is no number": ("episode_return", 0, np.nan),
}


@pytest.mark.parametrize(("column", "at", "value"), LIES.values(), ids=LIES.keys())
def test_tables_that_lie_are_refused(
    random_corpus: Callable, column: str, at: int, value: Any
) -> None:
    path = random_corpus(unlabeled=(2,)).path
    store_again(path, altered(column, at, value))
    with pytest.raises(CorpusError, match=r"impossible|declared|in order|action_observed"):
        open_corpus(path)


@pytest.mark.parametrize(
    "name", ["../../secret.h5", "/etc/passwd", "a/b.h5", ".h5", "x.hdf5", "x.h5\n", "..h5"]
)
def test_shards_outside_the_corpus_are_refused(random_corpus: Callable, name: str) -> None:
    path = random_corpus().path
    manifest = json.loads((path / "corpus.json").read_text())
    manifest["shards"][0]["file"] = name
    (path / "corpus.json").write_text(json.dumps(manifest))
    with pytest.raises(CorpusError, match=r"corpus\.json: shards\.0\.file"):
        open_corpus(path)


def test_a_compression_bomb_is_read_only_as_asked(random_corpus: Callable) -> None:
    path = random_corpus(observations=OBSERVATIONS).path

    def pack(shard: Path) -> None:
        with h5py.File(shard, "r+") as file:
            del file["fields/camera"]
            file.create_dataset(
                "fields/camera",
                data=np.zeros((97, 2, 2, 3), "u1"),
                chunks=(8, 2, 2, 3),
                compression="gzip",
            )

    # What deflate can do to zeros is allowed; it is the claim beyond that which is refused.
    store_again(path, pack)
    assert open_corpus(path)[0].observations["camera"].max() == 0


def test_other_programs_may_read_a_shard_meanwhile(random_corpus: Callable) -> None:
    path = random_corpus().path
    (shard,) = (path / "shards").iterdir()
    with h5py.File(shard, "r") as file:
        corpus = open_corpus(path)
        assert json.loads(file["steps"].attrs["columns"]) == [
            ["position", 0, 2],
            ["height", 2, 3],
            ["reward", 3, 4],
        ]
        np.testing.assert_array_equal(file["steps"][()], corpus.shards[0].steps)
        assert file["actions"].shape[0] == file["table/length"][()].sum()


def test_files_are_not_kept_open(random_corpus: Callable) -> None:
    path = random_corpus(shards=8).path
    before = len(os.listdir("/proc/self/fd"))
    corpora = [open_corpus(path) for _ in range(3)]
    # A map keeps one descriptor per shard, whatever the number of arrays in it.
    assert len(os.listdir("/proc/self/fd")) - before <= 3 * 8
    assert len(corpora[0].shards) == 8
