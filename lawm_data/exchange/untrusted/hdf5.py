"""Distrustful access to HDF5 files of others: numbers inside the file, and nothing else.

The usual lossless filters are read, which our own shards may not have. What leads
out of the file, claims more than its bytes can hold, or is not a plain number, is refused.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5z  # pyright: ignore[reportAttributeAccessIssue]
from lawm_schemas import CorpusError
from lawm_schemas.errors import reason_of

from lawm_data.exchange.untrusted.archive import HINT, open_regular
from lawm_data.exchange.untrusted.arrays import plain_dtype, require_rows, to_plain
from lawm_data.system.atomic import storage_errors
from lawm_data.system.hdf5 import (
    CHUNK_LIMIT,
    DEFLATE_RATIO,
    LIBRARY_ERRORS,
    bound_metadata,
    size_of,
)

LZF_RATIO = 132
"""LZF cannot shrink anything further: at most 264 bytes become 2 or 3."""
CACHE = 1 << 24
"""Bytes of decompressed chunks that are kept per array, so that none is decompressed twice."""
GROUPS = 64
"""Groups that are kept open."""
TEXT_LIMIT = 1 << 24
"""Bytes of a text in an attribute or a dataset; a longer one is not read."""
_RATIOS = {
    h5z.FILTER_DEFLATE: DEFLATE_RATIO,
    h5z.FILTER_LZF: LZF_RATIO,
    h5z.FILTER_SHUFFLE: 1,
    h5z.FILTER_FLETCHER32: 1,
}
_KINDS = {h5o.TYPE_GROUP: "group", h5o.TYPE_DATASET: "dataset"}


class _Array(NamedTuple):
    dataset: h5py.Dataset
    shape: tuple[int, ...]
    dtype: np.dtype
    claim: int


class ForeignFile:
    """An HDF5 file of others.

    Args:
        path: the file, and its name in messages.
        content: read from here instead, such as a member of an archive.

    Raises:
        CorpusError: not HDF5, or truncated.
        StorageError: the file system refused.
    """

    def __init__(self, path: Path, content: BinaryIO | None = None) -> None:
        self.path = path
        with storage_errors(path):
            if content is None:
                with open_regular(path) as file:
                    self._size = os.fstat(file.fileno()).st_size
            else:
                self._size = content.seek(0, os.SEEK_END)
        self._left = self._size  # bytes that no array has been opened for
        with self._distrust(""):
            self._file = bound_metadata(h5py.File(content or path, "r", rdcc_nbytes=CACHE))
            self._root = h5g.open(self._file.id, b"/")
        self._groups: dict[str, h5g.GroupID] = {}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def where(self, name: str) -> str:
        """Place and file, for messages."""
        return f"{self.path}: {name}" if name else str(self.path)

    def has(self, name: str) -> bool:
        """Whether an array or a group of this name is there."""
        with self._distrust(name):
            return self._find(name) is not None

    def names(self, group: str = "", kind: str = "dataset") -> list[str]:
        """Names of the arrays (or groups) of a group, sorted; empty where there is no such group.

        Raises:
            CorpusError: a member is a link to another place.
        """
        with self._distrust(group):
            place = self._root if not group else self._find(group)
            if place is None:
                return []
            if not isinstance(place, h5g.GroupID):
                raise self.refuse(group, "is not a group")
            found = []
            for name in place:
                self._require_inside(place, name, f"{group}/{name.decode()}".lstrip("/"))
                found.append((name.decode(), _KINDS.get(h5o.get_info(place, name).type)))
        return sorted(name for name, its in found if its == kind)

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape, and the type in which ``read`` returns it.

        Raises:
            CorpusError: missing, not an array of numbers, stored elsewhere, or larger than its
                bytes could be.
        """
        found = self._array(name)
        return found.shape, found.dtype

    def read(self, name: str) -> np.ndarray:
        """A whole array.

        Raises:
            CorpusError: as ``header``, or it is damaged, or its bytes belong to another array too.
        """
        return self.rows(name)[()]

    def read_rows(self, name: str, rows: int) -> np.ndarray:
        """A whole array of a known length.

        Raises:
            CorpusError: as ``read``, or it has another length.
        """
        found = self.rows(name)
        require_rows(found.shape, rows, found.where)
        return found[()]

    def rows(self, name: str, again: bool = False) -> ForeignRows:
        """An array to be read in parts.

        Args:
            name: of the array.
            again: this opening is one more than the array's own; its bytes are not counted.

        Raises:
            CorpusError: as ``read``.
        """
        found = self._array(name)
        self._left -= 0 if again else found.claim
        if self._left < 0:
            raise self.refuse(name, "shares its bytes with other arrays")
        return ForeignRows(self, name, found)

    def text(self, name: str) -> bytes:
        """An array of bytes that is a text.

        Raises:
            CorpusError: as ``header``, or another type, or too long.
        """
        found = self._array(name)
        if found.dtype != np.uint8 or len(found.shape) != 1 or found.shape[0] > TEXT_LIMIT:
            raise self.refuse(name, "is not a text")
        with self._distrust(name):
            return found.dataset[()].tobytes()

    def labels(self, name: str, limit: int) -> list[str]:
        """An array of short texts of fixed length.

        Raises:
            CorpusError: anything else, or more than ``limit`` of them.
        """
        with self._distrust(name):
            dataset = self._dataset(name)
            if dataset.dtype.kind != "S" or dataset.dtype.itemsize > 1000 or dataset.ndim != 1:
                raise self.refuse(name, "is not a list of names (fixed-length strings)")
            if dataset.shape[0] > limit:
                raise self.refuse(name, f"lists {dataset.shape[0]} names where {limit} can be")
            return [text.decode() for text in dataset[()].tolist()]

    def attributes(self, name: str) -> dict[str, Any]:
        """The attributes of a group that are one number or one text; others are left out."""
        with self._distrust(name):
            place = self._find(name)
            if place is None:
                return {}
            found = {}
            for i in range(h5a.get_num_attrs(place)):
                attribute = h5a.open(place, index=i)
                if attribute.shape == () and attribute.get_storage_size() <= TEXT_LIMIT:
                    key = attribute.name.decode()
                    found[key] = h5py.AttributeManager(_Holder(place))[key]
            plain = str | bytes | int | float | np.generic
            return {key: value for key, value in found.items() if isinstance(value, plain)}

    def refuse(self, name: str, what: str) -> CorpusError:
        """The error that names a place in the file."""
        return CorpusError(what, self.where(name), HINT)

    def _array(self, name: str) -> _Array:
        with self._distrust(name):
            dataset = self._dataset(name)
            kind, shape = dataset.dtype, dataset.shape
            dtype = plain_dtype(kind, self.where(name))
            if shape is None:
                raise self.refuse(name, "is empty")
            declared = size_of(shape) * kind.itemsize
            plist = dataset.id.get_create_plist()
            stored, layout = dataset.id.get_storage_size(), plist.get_layout()
            if layout == h5d.VIRTUAL or plist.get_external_count():
                raise self.refuse(name, "is stored in another file")
            ratio = self._ratio(dataset, name) if layout == h5d.CHUNKED else 1
            if stored > self._size or declared > stored * ratio:
                raise self.refuse(name, f"declares {declared} bytes in {stored}")
        return _Array(dataset, shape, dtype, stored)

    def _ratio(self, dataset: h5py.Dataset, name: str) -> int:
        """How much the filters can shrink; refuses unknown ones and chunks of absurd size."""
        plist = dataset.id.get_create_plist()
        filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
        if set(filters) - set(_RATIOS):
            raise self.refuse(name, "uses a filter other than gzip, lzf, shuffle and fletcher32")
        if size_of(plist.get_chunk()) * dataset.dtype.itemsize > CHUNK_LIMIT:
            raise self.refuse(name, f"has chunks of shape {plist.get_chunk()}")
        ratio = 1
        for used in filters:
            ratio *= _RATIOS[used]
        return ratio

    def _dataset(self, name: str) -> h5py.Dataset:
        place = self._find(name)
        if not isinstance(place, h5d.DatasetID):
            raise self.refuse(name, "is missing" if place is None else "is not an array")
        return h5py.Dataset(place)

    def _find(self, name: str) -> h5g.GroupID | h5d.DatasetID | None:
        """What stands at a place. Groups are looked up once: arrays come in groups."""
        above, _, last = name.rpartition("/")
        group = self._group(above) if above else self._root
        if group is None or not group.links.exists(last.encode()):
            return None
        self._require_inside(group, last.encode(), name)
        return h5o.open(group, last.encode())

    def _group(self, name: str) -> h5g.GroupID | None:
        if name not in self._groups:
            found = self._find(name)
            if not isinstance(found, h5g.GroupID):
                return None
            if len(self._groups) >= GROUPS:
                self._groups.clear()
            self._groups[name] = found
        return self._groups[name]

    def _require_inside(self, group: h5g.GroupID, part: bytes, name: str) -> None:
        if group.links.get_info(part).type != h5l.TYPE_HARD:
            raise self.refuse(name, "is a link to another place")

    @contextlib.contextmanager
    def _distrust(self, name: str) -> Iterator[None]:
        try:
            yield
        except LIBRARY_ERRORS as error:
            raise self.refuse(name, f"cannot be read ({reason_of(error)})") from None


class ForeignRows:
    """The rows of an array, read in their order or by slices.

    Args:
        file: where it stands.
        name: of the array.
        found: its header.
    """

    def __init__(self, file: ForeignFile, name: str, found: _Array) -> None:
        self._file, self._name, self._dataset = file, name, found.dataset
        self._at = 0
        self.where = file.where(name)
        self.shape, self.dtype = found.shape, found.dtype

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def __getitem__(self, rows: Any) -> np.ndarray:
        with self._file._distrust(self._name):
            array = self._dataset[rows]
        return to_plain(np.asarray(array), self.dtype)

    def next(self, count: int) -> np.ndarray:
        """The next rows."""
        start, self._at = self._at, self._at + count
        return self[start : self._at]

    def close(self) -> None:
        """Nothing to do: the file is closed as a whole."""


class _Holder(NamedTuple):
    """What h5py's attribute reader wants to know of their owner."""

    id: Any
