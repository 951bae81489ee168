"""Distrustful access to HDF5 files of others: numbers inside the file, and nothing else.

The usual lossless filters are read, which our own shards may not have. What leads
out of the file, claims more than its bytes can hold, or is not a plain number, is refused.
"""

from __future__ import annotations

import contextlib
import math
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
from lawm_data.exchange.untrusted.strict_json import strict_json
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
AHEAD = 1 << 20
"""Bytes of an array that are read at once where its rows are read in their order."""
GROUPS = 64
"""Groups that are kept open."""
TEXT_LIMIT = 1 << 24
"""Bytes of a text in an attribute or a dataset; a longer one is not read."""
UNWRITTEN = 1 << 28
"""Bytes of a file's arrays that may never have been written: they read as the fill value."""
DEPTH, ARRAYS = 10, 100_000
"""How deep groups are looked into, and how many arrays may be found there."""
LONGEST_TEXT, LONGEST_LIST = 10_000, 1000
"""Characters, and numbers, of an attribute that is taken along."""
OTHER_FORMAT = "check that the file is of this format"
INSIDE = "store the array itself in the file"
REWRITE = "write it again with gzip (h5repack -f GZIP=4)"
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
    """Bytes of the file that are its."""
    unwritten: int
    """Bytes that none of these can hold."""


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
        self._unwritten_left = UNWRITTEN
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
        found = self._members(group)
        for name in (name for name, its in found.items() if its == "link"):
            raise self.refuse(f"{group}/{name}".lstrip("/"), "is a link to another place", INSIDE)
        return sorted(name for name, its in found.items() if its == kind)

    def _members(self, group: str) -> dict[str, str]:
        """What the members of a group are, by name: ``dataset``, ``group``, ``link``."""
        with self._distrust(group):
            place = self._root if not group else self._find(group)
            if place is None:
                return {}
            if not isinstance(place, h5g.GroupID):
                raise self.refuse(group, "is not a group", OTHER_FORMAT)
            found = {}
            for name in place:
                hard = place.links.get_info(name).type == h5l.TYPE_HARD
                its = _KINDS.get(h5o.get_info(place, name).type, "") if hard else "link"
                found[name.decode()] = its
        return found

    def is_group(self, name: str) -> bool:
        """Whether a group of this name is there."""
        with self._distrust(name):
            return isinstance(self._find(name), h5g.GroupID)

    def tree(self, group: str = "") -> list[str]:
        """Paths of the arrays of a group and of all groups in it, without its own, sorted.

        A link to another place counts as an array, which is refused when it is read.

        Raises:
            CorpusError: groups lie too deep in each other, as in a circle, or hold too many arrays.
        """
        found, waiting = [], [("", 0)]
        while waiting:
            path, depth = waiting.pop()
            above = f"{group}/{path}".strip("/")
            start = f"{path}/" if path else ""
            for name, its in self._members(above).items():
                if its == "group":
                    waiting.append((start + name, depth + 1))
                elif its:
                    found.append(start + name)
            if depth > DEPTH or len(found) + len(waiting) > ARRAYS:
                hint = "give a file with fewer groups in groups"
                raise self.refuse(above, "holds too many groups or arrays", hint)
        return sorted(found)

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
        self._unwritten_left -= 0 if again else found.unwritten
        if self._left < 0:
            raise self.refuse(name, "shares its bytes with other arrays", INSIDE)
        if self._unwritten_left < 0:
            raise self._unwritten(name, found.unwritten, found.claim)
        return ForeignRows(self, name, found)

    def text(self, name: str) -> bytes:
        """An array of bytes that is a text.

        Raises:
            CorpusError: as ``header``, or another type, or too long.
        """
        found = self._array(name)
        if found.dtype != np.uint8 or len(found.shape) != 1 or found.shape[0] > TEXT_LIMIT:
            raise self.refuse(name, "is not a text", OTHER_FORMAT)
        with self._distrust(name):
            return found.dataset[()].tobytes()

    def labels(self, name: str, limit: int) -> list[str]:
        """An array of short texts, of fixed or of any length.

        Raises:
            CorpusError: anything else, or more than ``limit`` of them.
        """
        with self._distrust(name):
            dataset = self._dataset(name)
            texts = dataset.dtype.kind == "S" or h5py.check_string_dtype(dataset.dtype) is not None
            if not texts or dataset.dtype.itemsize > 1000 or dataset.ndim != 1:
                hint = "store names as texts, such as np.array(names, 'S')"
                raise self.refuse(name, "is not a list of names", hint)
            if dataset.shape[0] > limit:
                hint = "name each one once"
                raise self.refuse(
                    name, f"lists {dataset.shape[0]} names where {limit} can be", hint
                )
            found = []
            # one by one where a text may be as long as the file
            some = AHEAD // dataset.dtype.itemsize if dataset.dtype.kind == "S" else 1
            for start in range(0, dataset.shape[0], some):
                for text in dataset[start : start + some].tolist():
                    if len(text) > 1000:
                        raise self.refuse(name, f"holds a name of {len(text)} bytes", "shorten it")
                    found.append(text.decode())
            return found

    def attributes(self, name: str) -> dict[str, Any]:
        """The attributes of a group that are one number or one text; others are left out."""
        plain = str | bytes | int | float | np.generic
        return {key: value for key, value in self._attributes(name) if isinstance(value, plain)}

    def described(self, name: str) -> tuple[dict[str, Any], list[str]]:
        """The attributes of a group, or of the file (``""``), as plain data.

        Texts that are JSON objects are taken apart.

        Returns:
            What can be taken along, and the names of what cannot: long texts and arrays, numbers
            that are not finite, and what cannot be read.
        """
        kept, left = {}, []
        for key, value in self._attributes(name):
            try:
                kept[key] = _plain(value)
            except (TypeError, ValueError):
                left.append(key)
        return kept, left

    def _attributes(self, name: str) -> Iterator[tuple[str, Any]]:
        """Names and values of attributes; None stands for a value that cannot be read."""
        with self._distrust(name):
            place = self._find(name) if name else self._root
            names = (
                []
                if place is None
                else [
                    h5a.open(place, index=i).name.decode() for i in range(h5a.get_num_attrs(place))
                ]
            )
        for key in names:
            value = None
            with contextlib.suppress(*LIBRARY_ERRORS, CorpusError):
                if h5a.open(place, key.encode()).get_storage_size() <= TEXT_LIMIT:
                    value = h5py.AttributeManager(_Holder(place))[key]
            yield key, value

    def refuse(self, name: str, what: str, hint: str = HINT) -> CorpusError:
        """The error that names a place in the file."""
        return CorpusError(what, self.where(name), hint)

    def _unwritten(self, name: str, missing: int, stored: int) -> CorpusError:
        hint = "write all its numbers, or get the file again if it lost some"
        return self.refuse(name, f"declares {missing + stored} bytes in {stored}", hint)

    def _array(self, name: str) -> _Array:
        with self._distrust(name):
            dataset = self._dataset(name)
            kind, shape = dataset.id.dtype, dataset.id.shape
            dtype = plain_dtype(kind, self.where(name))
            if shape is None:
                raise self.refuse(name, "is empty", OTHER_FORMAT)
            declared = size_of(shape) * kind.itemsize
            plist = dataset.id.get_create_plist()
            stored, layout = dataset.id.get_storage_size(), plist.get_layout()
            if layout == h5d.VIRTUAL or plist.get_external_count():
                raise self.refuse(name, "is stored in another file", INSIDE)
            ratio = self._ratio(dataset, name) if layout == h5d.CHUNKED else 1
            if stored > self._size:
                raise self.refuse(name, f"has {stored} bytes in a file of {self._size}")
            unwritten = max(0, declared - stored * ratio)
            if unwritten > UNWRITTEN:
                raise self._unwritten(name, declared - stored, stored)
        return _Array(dataset, shape, dtype, stored, unwritten)

    def _ratio(self, dataset: h5py.Dataset, name: str) -> int:
        """How much the filters can shrink; refuses unknown ones and chunks of absurd size."""
        plist = dataset.id.get_create_plist()
        filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
        if set(filters) - set(_RATIOS):
            what = "uses a filter other than gzip, lzf, shuffle and fletcher32"
            raise self.refuse(name, what, REWRITE)
        if size_of(plist.get_chunk()) * dataset.dtype.itemsize > CHUNK_LIMIT:
            hint = "write it again in smaller chunks"
            raise self.refuse(name, f"has chunks of shape {plist.get_chunk()}", hint)
        ratio = 1
        for used in filters:
            ratio *= _RATIOS[used]
        return ratio

    def _dataset(self, name: str) -> h5py.Dataset:
        place = self._find(name)
        if not isinstance(place, h5d.DatasetID):
            what = "is missing" if place is None else "is not an array"
            raise self.refuse(name, what, OTHER_FORMAT)
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
            raise self.refuse(name, "is a link to another place", INSIDE)

    @contextlib.contextmanager
    def _distrust(self, name: str) -> Iterator[None]:
        try:
            yield
        except LIBRARY_ERRORS as error:
            raise self.refuse(name, f"cannot be read ({reason_of(error)})") from None


def _plain(value: Any) -> Any:
    """An attribute as plain data.

    Raises:
        TypeError: no number, text, or list of them.
        ValueError: too long, or not finite.
    """
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise ValueError("too long")
        if value.lstrip().startswith("{"):
            with contextlib.suppress(CorpusError):
                return strict_json(value, "attribute")
        return value
    if isinstance(value, np.ndarray):
        if value.size > LONGEST_LIST:
            raise ValueError("too long")
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, bool | int | float) or not math.isfinite(value):
        raise TypeError("no number or text") if value is None else ValueError("not finite")
    return value


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
        self._ahead, self._first = np.empty((0, *found.shape[1:]), found.dtype), 0
        self.where = file.where(name)
        self.shape, self.dtype = found.shape, found.dtype

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def __getitem__(self, rows: Any) -> np.ndarray:
        with self._file._distrust(self._name):
            array = self._dataset[rows]
        return to_plain(np.asarray(array), self.dtype)

    def next(self, count: int) -> np.ndarray:
        """The next rows; more are read with them, for a call of HDF5 takes as long as 100 kB."""
        start, self._at = self._at, self._at + count
        if self._at > self._first + len(self._ahead):
            row = size_of(self.shape[1:]) * self.dtype.itemsize
            rows = max(count, AHEAD // max(1, row))
            self._ahead, self._first = self[start : start + rows], start
        return self._ahead[start - self._first : self._at - self._first]

    def close(self) -> None:
        """Nothing to do: the file is closed as a whole."""


class _Holder(NamedTuple):
    """What h5py's attribute reader wants to know of their owner."""

    id: Any
