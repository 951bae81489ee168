"""Distrustful access to HDF5 files: what a file declares is checked before it is believed.

HDF5 can point into other files (external links, external storage, virtual datasets), declare
shapes that no disk could hold, and carry arbitrary filters and object types. A shard needs none
of that, so all of it is refused. Numeric data are mapped at their byte offset and never pass
through the HDF5 library.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import mmap
import os
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

# compiled modules: pyright sees no names in them
from h5py import h5d, h5g, h5l, h5o, h5z  # pyright: ignore[reportAttributeAccessIssue]
from lawm_schemas import ALTERED, CorpusError
from lawm_schemas.errors import reason_of

ALIGNMENT = 64
"""Byte alignment of every dataset that this package writes."""
DEFLATE_RATIO = 1032
"""Deflate cannot shrink anything further than this; a larger claim is a bomb."""
CHUNK_LIMIT = 1 << 26
"""Largest chunk, in bytes, that is decompressed at once."""
CHUNK_CACHE = 1 << 20
"""Bytes of decompressed chunks that are kept per array: HDF5 would keep 8 MiB, of every shard."""
METADATA_CACHE = 1 << 20
"""Bytes of headers and indices that HDF5 keeps of a file with a group for each trajectory."""
_ZLIB: Any = zlib
with contextlib.suppress(ImportError):  # Intel's ISA-L: the same format, twice as fast
    _ZLIB = import_module("isal.isal_zlib")
HINT = "restore it from a copy, or try lawm-data repair"
LIBRARY_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, zlib.error)
"""What h5py raises on damaged files, depending on where the damage is."""


def file_in_memory() -> h5py.File:
    """A new HDF5 file that lies in memory alone, its arrays on the boundaries of ours."""
    return h5py.File(
        "memory",
        "w",
        driver="core",
        backing_store=False,
        alignment_threshold=1,
        alignment_interval=ALIGNMENT,
    )


def bound_metadata(file: h5py.File) -> h5py.File:
    """The file, with little of what HDF5 knows about its objects kept.

    By default that is up to 32 MiB as stored, and nearly ten times as much in memory. Where every
    object is looked at once, keeping it saves nothing.
    """
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.initial_size = config.min_size = config.max_size = METADATA_CACHE
    file.id.set_mdc_config(config)
    return file


class _Region:
    """Memory of one dataset; keeps the map alive without offering the rest of the file."""

    def __init__(self, owner: np.ndarray) -> None:
        self._owner = owner
        self.__array_interface__ = owner.__array_interface__


class ChunkedField:
    """A compressed dataset, (R, *shape), or some of its rows; it is read by slices of rows.

    Args:
        dataset: the dataset.
        where: the file and the dataset, for messages.
        rows: which rows of it; all when None.
    """

    def __init__(self, dataset: h5py.Dataset, where: str, rows: range | None = None) -> None:
        self._dataset, self._where = dataset, where
        assert dataset.chunks is not None
        self._chunk: tuple[int, ...] = dataset.chunks
        self._chunk_bytes = size_of(self._chunk) * dataset.dtype.itemsize
        self._rows = range(dataset.shape[0]) if rows is None else rows
        self.shape: tuple[int, ...] = (len(self._rows), *dataset.shape[1:])
        self.dtype: np.dtype = dataset.dtype

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """Bytes that it has when it is decompressed."""
        return size_of(self.shape) * self.dtype.itemsize

    def between(self, start: int, stop: int) -> ChunkedField:
        """Some of the rows; nothing is read."""
        return ChunkedField(self._dataset, self._where, self._rows[start:stop])

    def __getitem__(self, rows: slice) -> np.ndarray:
        taken = self._rows[rows]
        found = np.empty((len(taken), *self.shape[1:]), self.dtype)
        if taken.step == 1:
            start, stop, _ = rows.indices(len(self))
            self.read_into(found, start, stop)
            return found
        with self._distrust():
            return self._dataset[taken.start : taken.stop : taken.step]

    def read_into(self, out: np.ndarray, start: int, stop: int) -> None:
        """Read the rows from ``start`` on, and before ``stop``.

        Chunks are taken from the file as they are and decompressed here, one copy fewer than the
        library makes, and with ISA-L where it is installed.

        Args:
            out: where they go, (stop - start, *shape).
            start: at least 0.
            stop: at most the number of rows.

        Raises:
            CorpusError: they cannot be decompressed.
        """
        rows, size = self._rows[start:stop], self._chunk[0]
        with self._distrust():
            if self.dtype.itemsize > 1:  # its bytes are shuffled, which the library undoes
                out[...] = self._dataset[rows.start : rows.stop]
                return
            for number in range(rows.start // size, -(-rows.stop // size) if rows else 0):
                begin = number * size
                here = slice(max(rows.start, begin), min(rows.stop, begin + size))
                chunk = self._read_chunk(begin)
                out[here.start - rows.start : here.stop - rows.start] = chunk[
                    here.start - begin : here.stop - begin
                ]

    def _read_chunk(self, begin: int) -> np.ndarray:
        place = (begin,) + (0,) * (len(self._chunk) - 1)
        skipped, stored = self._dataset.id.read_direct_chunk(place)
        if skipped:  # what deflate could not make smaller is stored as it is
            return self._dataset[begin : begin + self._chunk[0]]
        content = inflate(stored, self._chunk_bytes)
        return np.frombuffer(content, self.dtype).reshape(self._chunk)

    @contextlib.contextmanager
    def _distrust(self) -> Iterator[None]:
        try:
            yield
        except LIBRARY_ERRORS as error:
            what = f"cannot be decompressed ({reason_of(error)})"
            raise CorpusError(what, self._where, HINT) from None


class _Descriptor(io.FileIO):
    """A file for the HDF5 library, closed when the library has no more need of it."""

    def __del__(self) -> None:
        self.close()


def open_file(path: Path) -> io.FileIO:
    """Open a file that a damaged or foreign folder may have replaced by something else.

    It is not buffered: HDF5 may move along the same descriptor.

    Raises:
        CorpusError: a folder, or a device or pipe, which has no end.
        FileNotFoundError: no such file.
    """
    if path.is_dir():
        raise CorpusError("is a folder, not a file", str(path), HINT)
    if path.exists() and not path.is_file():
        raise CorpusError("is no regular file", str(path), HINT)
    return path.open("rb", buffering=0)


class MappedFile:
    """An HDF5 file opened for reading, its numeric datasets mapped read-only.

    The map survives the removal of the file, so a view stays consistent while a writer compacts.

    Args:
        path: the file.
        size: bytes it must have, or None when that is unknown.
        sha256: checksum that it must have, or None to trust it.
        content: the file, or a copy of it, where it is open already; it may be closed afterwards.

    Raises:
        CorpusError: wrong size or checksum, not HDF5, or a folder.
        FileNotFoundError: no such file.
    """

    def __init__(
        self,
        path: Path,
        size: int | None = None,
        sha256: str | None = None,
        content: BinaryIO | None = None,
    ) -> None:
        self.path = path
        with contextlib.nullcontext(content) if content else open_file(path) as file:
            self.size = os.fstat(file.fileno()).st_size
            if size is not None and self.size != size:
                raise CorpusError(
                    f"has {self.size} bytes where the manifest says {size}", str(path), HINT
                )
            if self.size == 0:
                raise CorpusError("is empty", str(path), HINT)
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            source = path if content is None else _Descriptor(os.dup(file.fileno()))
        if sha256 is not None and self.sha256() != sha256:
            raise CorpusError(ALTERED, str(path), HINT)
        try:
            self._file = h5py.File(source, "r", rdcc_nbytes=CHUNK_CACHE)
            plain = self._file.userblock_size == 0
            self._root = h5g.open(self._file.id, b"/")
        except FileNotFoundError:
            raise
        except LIBRARY_ERRORS:
            raise CorpusError("is not a readable HDF5 file", str(path), HINT) from None
        if not plain:
            raise self._refuse("", "has a user block")

    def sha256(self) -> str:
        """Checksum of every byte, in hexadecimal."""
        return hashlib.sha256(self._map).hexdigest()

    def close(self) -> None:
        """Close the HDF5 file; what is mapped stays readable."""
        self._file.close()

    def release_memory(self) -> None:
        """Let go of the pages that were read; what is read again comes from the file again."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def has(self, name: str) -> bool:
        """Whether a name (``group/name``) stands in the file."""
        with self._distrust(name):
            return self._find(name) is not None

    def array(self, name: str, dtype: str | np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """Map a contiguous, uncompressed dataset.

        Args:
            name: path in the file.
            dtype: type that it must have.
            shape: shape that it must have; -1 in front leaves the number of rows open.

        Raises:
            CorpusError: missing, another type or shape, stored elsewhere, or beyond the file.
        """
        kind = np.dtype(dtype)
        with self._distrust(name):
            dataset, found = self._dataset(name, kind, shape)
            plist = dataset.get_create_plist()
            if plist.get_layout() != h5d.CONTIGUOUS or plist.get_external_count():
                raise self._refuse(name, "is not stored contiguously in this file")
            count = size_of(found)
            if count == 0:
                return np.empty(found, kind)
            offset = dataset.get_offset()
        if offset is None or offset < 0 or offset + count * kind.itemsize > self.size:
            raise self._refuse(name, "reaches beyond the end of the file")
        whole = np.frombuffer(self._map, kind, count, offset).reshape(found)
        return np.asarray(_Region(whole))

    def chunked(self, name: str, dtype: str | np.dtype, shape: tuple[int, ...]) -> ChunkedField:
        """Open a compressed dataset; only deflate and shuffle are accepted.

        Raises:
            CorpusError: as ``array``, or it declares more than its bytes could hold.
        """
        with self._distrust(name):
            dataset, found = self._dataset(name, np.dtype(dtype), shape)
            plist = dataset.get_create_plist()
            if plist.get_layout() != h5d.CHUNKED or plist.get_external_count():
                raise self._refuse(name, "is not stored in chunks in this file")
            filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
            chunk, stored = plist.get_chunk(), dataset.get_storage_size()
        if filters - {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE}:
            raise self._refuse(name, "uses a filter other than deflate and shuffle")
        itemsize = np.dtype(dtype).itemsize
        one = size_of(found[1:]) * itemsize
        if chunk[1:] != found[1:] or size_of(chunk) * itemsize > max(CHUNK_LIMIT, one):
            raise self._refuse(name, f"has chunks of shape {chunk}")
        if stored > self.size or size_of(found) * itemsize > (stored + 1) * DEFLATE_RATIO:
            raise self._refuse(name, f"declares {size_of(found) * itemsize} bytes in {stored}")
        return ChunkedField(h5py.Dataset(dataset), f"{self.path}: {name}")

    def _dataset(
        self, name: str, dtype: np.dtype, shape: tuple[int, ...]
    ) -> tuple[h5d.DatasetID, tuple[int, ...]]:
        dataset = self._find(name)
        if dataset is None:
            raise self._refuse(name, "is missing")
        found, kind = dataset.shape, dataset.dtype
        if kind != dtype or kind.hasobject:
            raise self._refuse(name, f"has type {kind} instead of {dtype}")
        rows = found[:1] if shape[:1] == (-1,) else shape[:1]
        if found is None or found != rows + shape[1:]:
            raise self._refuse(name, f"has shape {found} instead of {shape}")
        return dataset, found

    def _find(self, name: str) -> h5d.DatasetID | None:
        place: h5g.GroupID | h5d.DatasetID = self._root
        for part in name.split("/"):
            if not isinstance(place, h5g.GroupID) or not place.links.exists(part.encode()):
                return None
            if place.links.get_info(part.encode()).type != h5l.TYPE_HARD:
                raise self._refuse(name, "is a link to another place")
            place = h5o.open(place, part.encode())
        if not isinstance(place, h5d.DatasetID):
            raise self._refuse(name, "is not a dataset")
        return place

    @contextlib.contextmanager
    def _distrust(self, name: str) -> Iterator[None]:
        try:
            yield
        except LIBRARY_ERRORS as error:
            raise self._refuse(name, f"cannot be read ({reason_of(error)})") from None

    def _refuse(self, name: str, what: str) -> CorpusError:
        where = f"{self.path}: {name}" if name else str(self.path)
        return CorpusError(what, where, HINT)


def inflate(stored: bytes, size: int) -> bytes:
    """What deflate made smaller, of ``size`` bytes; never more, whatever a file claims.

    Raises:
        ValueError: it is of another size, or cut short.
        zlib.error: it is damaged.
    """
    decoder = _ZLIB.decompressobj()
    # one byte more than there should be, so that the end with its checksum is reached
    content = decoder.decompress(stored, size + 1)
    if len(content) != size or not decoder.eof:
        raise ValueError(f"{len(content)} bytes instead of {size}")
    return content


def size_of(shape: tuple[int, ...]) -> int:
    """Elements of an array, exactly, however large a file says it is."""
    size = 1
    for axis in shape:
        size *= int(axis)
    return size
