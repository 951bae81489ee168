"""The bytes of a shard file, and the file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from lawm_schemas import ArraySpec, Manifest, ShardInfo

from lawm_data.corpus.layout import Layout, is_chunked, stored_dtype
from lawm_data.corpus.table import COLUMNS, OBSERVED, SEEDED, stored_seeds
from lawm_data.system.atomic import write_file
from lawm_data.system.hdf5 import ALIGNMENT, ChunkedField

CHUNK_BYTES = 1 << 16
"""Uncompressed size of a chunk of pixels: small enough for windows, large enough for deflate."""
GZIP_LEVEL = 4
"""As fast to read as 1, and a fifth smaller; it takes longer to write, but less than to draw."""
BLOCK_BYTES = 4 << 20
"""Short trajectories are joined to blocks of this size before they are written."""
ABOUT = "manifest"
"""Dataset with a copy of the manifest, without shards and fingerprint."""

Pieces = Sequence[np.ndarray | ChunkedField]


class Parts(NamedTuple):
    """The content of a shard, each array in pieces that will lie end to end."""

    steps: Sequence[np.ndarray]
    """(R, W) pieces."""
    actions: Sequence[np.ndarray]
    """(Ra, A) pieces."""
    action_observed: Sequence[np.ndarray]
    """(Ra,) bool pieces, one for each of ``actions``."""
    fields: Mapping[str, Pieces]
    """(R, *shape) pieces, by name."""
    columns: Mapping[str, np.ndarray]
    """The table, without ``row`` and ``action_row``, which follow from the lengths."""
    metadata: Sequence[bytes]
    """JSON of each trajectory, empty where there is none."""


def write_shard(
    folder: Path, parts: Parts, layout: Layout, about: Manifest | None = None
) -> ShardInfo:
    """Write a shard under a name made of its checksum.

    Args:
        folder: where it goes.
        parts: its content.
        layout: where its arrays go.
        about: the manifest, of which the shard keeps a copy, so that it explains itself.

    Raises:
        StorageError: the file system refused.
    """
    data = encode_shard(parts, layout, about)
    checksum = hashlib.sha256(data).hexdigest()
    length = parts.columns["length"]
    info = ShardInfo(
        file=f"{checksum[:32]}.h5",
        sha256=checksum,
        bytes=len(data),
        trajectories=len(length),
        steps=int(length.sum()),
    )
    write_file(folder / info.file, data)
    return info


class _Image(io.BytesIO):
    """A file in memory, whose bytes are read without a copy of them."""

    def truncate(self, size: int | None = None, /) -> int:
        """Cut, or fill up with zeros as a file does, which HDF5 counts on."""
        end = self.seek(0, io.SEEK_END)
        if size is not None and size > end:
            self.write(bytes(size - end))
        return super().truncate(size)


def encode_shard(parts: Parts, layout: Layout, about: Manifest | None = None) -> memoryview:
    """The shard as the bytes of an HDF5 file; the same bytes for the same content.

    It is made in memory: whatever goes wrong while writing it then meets plain system calls, and
    never the HDF5 library in the middle of a flush, from which it does not recover.

    Headers, the table with its hashes and the copy of the manifest come first: a file that lost
    its end still says what it held, and proves what is left of it.
    """
    image = _Image()
    with h5py.File(
        image,
        "w",
        alignment_threshold=1,
        alignment_interval=ALIGNMENT,
    ) as file:
        file.attrs["format"] = "lawm shard 1"
        _store_table(file, parts)
        if about is not None:
            # without what changes with every commit; not to_json: the shard has its own checksum
            without = about.model_copy(update={"shards": (), "fingerprint": "0" * 64})
            text = f"{without.model_dump_json(indent=2)}\n".encode()
            file.create_dataset(ABOUT, data=np.frombuffer(text, "u1"))
        waiting = []
        if parts.actions:
            kind = layout.action_dtype
            waiting.append(_reserve(file, "actions", kind, (layout.action.size,), parts.actions))
            if not all(flags.all() for flags in parts.action_observed):
                flags = parts.action_observed
                waiting.append(_reserve(file, "action_observed", np.dtype("u1"), (), flags))
        steps = _reserve(file, "steps", np.dtype("<f4"), (layout.width,), parts.steps)
        # name, first column and end of every part of a row, for people with an HDF5 viewer
        columns = [(spec.name, part.start, part.stop) for spec, part in layout.packed]
        columns.append(("reward", layout.width - 1, layout.width))
        steps[0].attrs["columns"] = json.dumps(columns)
        waiting.append(steps)
        for spec in layout.apart:
            storage = compression(spec) if is_chunked(spec) else {}
            name, pieces = f"fields/{spec.name}", parts.fields[spec.name]
            kind = stored_dtype(spec)
            waiting.append(_reserve(file, name, kind, spec.shape, pieces, **storage))
        for dataset, pieces in waiting:
            _fill(dataset, pieces)
    return image.getbuffer()


def _reserve(
    file: h5py.File,
    name: str,
    kind: np.dtype,
    shape: tuple[int, ...],
    pieces: Pieces,
    **storage: Any,
) -> tuple[h5py.Dataset, Pieces]:
    """A dataset's header; HDF5 finds room for the numbers when they are written."""
    rows = sum(len(piece) for piece in pieces)
    return file.create_dataset(name, (rows, *shape), kind, **storage), pieces


def _fill(dataset: h5py.Dataset, pieces: Pieces) -> None:
    if dataset.chunks:
        _fill_chunks(dataset, pieces, dataset.chunks[0])
        return
    end = 0
    for block in _blocks(pieces):
        start, end = end, end + len(block)
        dataset[start:end] = block.view(np.uint8) if block.dtype == np.bool_ else block


def _blocks(pieces: Pieces) -> Iterator[np.ndarray]:
    """The same rows in pieces of some megabytes: a call of HDF5 takes as long as 100 kB do."""
    waiting: list[np.ndarray] = []
    size = 0
    for piece in pieces:
        if waiting and size + piece.nbytes > BLOCK_BYTES:
            yield np.concatenate(waiting)
            waiting, size = [], 0
        waiting.append(piece[:])
        size += piece.nbytes
    if waiting:
        yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)


def _fill_chunks(dataset: h5py.Dataset, pieces: Pieces, size: int) -> None:
    """Write whole chunks only, so that none is compressed twice."""
    waiting = np.empty((0, *dataset.shape[1:]), dataset.dtype)
    end = 0
    rows = 16 * size
    for block in (p[start : start + rows] for p in pieces for start in range(0, len(p), rows)):
        waiting = np.concatenate([waiting, block])
        whole = len(waiting) // size * size
        dataset[end : end + whole] = waiting[:whole]
        end, waiting = end + whole, waiting[whole:]
    dataset[end:] = waiting


def compression(spec: ArraySpec) -> dict[str, Any]:
    """How the chunks of an array of pixels are stored: options of ``create_dataset``."""
    rows = max(1, CHUNK_BYTES // spec.size)
    return {
        "chunks": (rows, *spec.shape),
        # A growing axis lets a chunk be larger than the few rows of a small shard.
        "maxshape": (None, *spec.shape),
        "compression": "gzip",
        "compression_opts": GZIP_LEVEL,
        "shuffle": True,
    }


def offsets(length: np.ndarray, recorded: np.ndarray) -> dict[str, np.ndarray]:
    """The columns ``row`` and ``action_row`` of trajectories that lie end to end.

    Args:
        length: (n,) steps.
        recorded: (n,) bool: which have actions.
    """
    taken = np.where(recorded, length, 0)
    return {
        "row": np.cumsum(length + 1) - (length + 1),
        "action_row": np.where(recorded, np.cumsum(taken) - taken, -1),
    }


def _store_table(file: h5py.File, parts: Parts) -> None:
    columns = dict(parts.columns)
    columns |= offsets(columns["length"], columns["labels"] == OBSERVED)
    table = file.create_group("table")
    columns |= (seeds := stored_seeds(columns["seed"], columns[SEEDED]))
    kinds = COLUMNS | ({SEEDED: "|u1"} if SEEDED in seeds else {})
    for name, kind in kinds.items():
        table.create_dataset(name, data=np.asarray(columns[name], kind))
    table.create_dataset("digest", data=np.asarray(columns["digest"], "u1"))
    if any(parts.metadata):
        text = b"".join(parts.metadata)
        table.create_dataset("metadata", data=np.frombuffer(text, "u1"))
        ends = np.cumsum([len(item) for item in parts.metadata])
        table.create_dataset("metadata_end", data=ends.astype("<i8"))
