"""Distrustful access to npz files: numbers only, sizes checked before anything is allocated."""

from __future__ import annotations

import io
import warnings
from contextlib import closing
from pathlib import Path
from tokenize import TokenError
from typing import IO, BinaryIO, NamedTuple

import numpy as np
from lawm_schemas import CorpusError
from lawm_schemas.errors import reason_of
from numpy.lib import format as npy

from lawm_data.exchange.untrusted.archive import Archive
from lawm_data.exchange.untrusted.arrays import plain_dtype, require_rows, to_plain
from lawm_data.system.hdf5 import size_of

HEADER_LIMIT = 10_000
"""Bytes of the header of an array; that of a plain array has about a hundred."""
WHOLE_LIMIT = 1 << 30
"""Bytes of an array that is stored column by column; its rows lie all over the file, so that it is
in memory as a whole."""
_NO_HEADER = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, TokenError)
"""What numpy raises on headers that are none."""
_MAGIC = len(npy.MAGIC_PREFIX) + 2


class _Header(NamedTuple):
    shape: tuple[int, ...]
    stored: np.dtype
    fortran: bool


class NpzFile:
    """The arrays of an npz file, by name.

    Args:
        path: the file, and its name in messages.
        content: read from here instead, such as a member of an archive.

    Raises:
        CorpusError: as ``Archive``, or a member is not an array, or two have one name.
        StorageError: the file system refused.
    """

    def __init__(self, path: Path, content: BinaryIO | None = None) -> None:
        self.path = path
        self._archive = Archive(path, content)
        for member in self._archive.members:
            if not member.endswith(".npy") or "/" in member:
                self.close()
                raise self._archive.refuse(member, "is not an array of numbers (.npy)")
        self._members = {name.removesuffix(".npy"): name for name in self._archive.members}

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def names(self) -> list[str]:
        """Names of the arrays, in the order in which they are stored."""
        return list(self._members)

    def where(self, name: str) -> str:
        """Array and file, for messages."""
        return f"{self.path}: {name}" if name else str(self.path)

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape, and the type in which ``read`` returns it.

        Raises:
            CorpusError: not an array of numbers, or its size is not the one that it declares.
        """
        with self._archive.open(self._members[name]) as file:
            header = self._header(name, file)
        return header.shape, plain_dtype(header.stored, self.where(name))

    def read(self, name: str) -> np.ndarray:
        """A whole array.

        Raises:
            CorpusError: as ``header``, or the member is damaged.
        """
        with closing(self.rows(name)) as found:
            return found.all()

    def read_rows(self, name: str, rows: int) -> np.ndarray:
        """A whole array of a known length.

        Raises:
            CorpusError: as ``read``, or it has another length.
        """
        with closing(self.rows(name)) as found:
            require_rows(found.shape, rows, found.where)
            return found.all()

    def rows(self, name: str) -> NpyRows:
        """An array to be read from its first row to its last, some at a time."""
        file = self._archive.open(self._members[name])
        return NpyRows(self, name, file, self._header(name, file))

    def fill(self, name: str, file: IO[bytes], array: np.ndarray, last: bool) -> None:
        """Read the next bytes of a member into an array; with the last ones its checksum."""
        flat = array.reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)
        self._archive.read(self._members[name], file, flat.data, last)

    def refuse(self, name: str, what: str) -> CorpusError:
        """The error that names an array."""
        return self._archive.refuse(name, what)

    def _header(self, name: str, file: IO[bytes]) -> _Header:
        member = self._members[name]
        start = bytearray(_MAGIC + 4)
        self._archive.read(member, file, memoryview(start)[:_MAGIC])
        version = (start[-6], start[-5])
        if start[: len(npy.MAGIC_PREFIX)] != npy.MAGIC_PREFIX or version not in ((1, 0), (2, 0)):
            raise self._archive.refuse(name, "is not an array of numbers")
        width = 2 if version == (1, 0) else 4
        self._archive.read(member, file, memoryview(start)[_MAGIC : _MAGIC + width])
        length = int.from_bytes(start[_MAGIC : _MAGIC + width], "little")
        if length > HEADER_LIMIT:
            raise self._archive.refuse(name, f"has a header of {length} bytes")
        text = bytearray(length)
        self._archive.read(member, file, memoryview(text))
        header = self._parsed(name, bytes(start[_MAGIC : _MAGIC + width]) + bytes(text), width)
        declared = header.stored.itemsize
        for axis in header.shape:
            declared *= axis
        held = self._archive.size(member) - _MAGIC - width - length
        if min(header.shape, default=0) < 0 or declared != held:
            what = f"declares shape {header.shape} of {header.stored} and holds {held} bytes"
            raise self._archive.refuse(name, what)
        return header

    def _parsed(self, name: str, data: bytes, width: int) -> _Header:
        parse = npy.read_array_header_1_0 if width == 2 else npy.read_array_header_2_0
        try:
            with warnings.catch_warnings():
                # numpy warns of files that Python 2 wrote; they are as good as others
                warnings.simplefilter("ignore", UserWarning)
                shape, fortran, stored = parse(io.BytesIO(data), max_header_size=HEADER_LIMIT)
        except _NO_HEADER as error:
            raise self.refuse(name, f"has a header that is none ({reason_of(error)})") from None
        plain_dtype(stored, self.where(name))
        return _Header(tuple(int(axis) for axis in shape), stored, fortran)


class NpyRows:
    """The rows of an array in an npz file, read in their order.

    Args:
        npz: the file.
        name: of the array.
        file: its member, open behind the header.
        header: what the header says.
    """

    def __init__(self, npz: NpzFile, name: str, file: IO[bytes], header: _Header) -> None:
        self._npz, self._name, self._file, self._header = npz, name, file, header
        self._at = 0
        self._whole: np.ndarray | None = None
        self.where = npz.where(name)
        self.shape = header.shape
        self.dtype = plain_dtype(header.stored, self.where)

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def close(self) -> None:
        """Stop reading."""
        self._file.close()

    def all(self) -> np.ndarray:
        """The whole array."""
        array = np.empty(self.shape[::-1] if self._header.fortran else self.shape, self._stored)
        self._npz.fill(self._name, self._file, array, last=True)
        return to_plain(array.T if self._header.fortran else array, self.dtype)

    def next(self, count: int) -> np.ndarray:
        """The next rows.

        Raises:
            CorpusError: the array is damaged, or large and not stored row by row.
        """
        start, self._at = self._at, self._at + count
        if self._header.fortran and len(self.shape) > 1:
            if self._whole is None:
                self._whole = self._all_at_once()
            return self._whole[start : self._at]
        array = np.empty((count, *self.shape[1:]), self._stored)
        self._npz.fill(self._name, self._file, array, last=self._at == len(self))
        return to_plain(array, self.dtype)

    def _all_at_once(self) -> np.ndarray:
        size = size_of(self.shape) * self._stored.itemsize
        if size > WHOLE_LIMIT:
            what = f"is stored column by column, {size} bytes that cannot be read in parts"
            hint = "write it again row by row (numpy.ascontiguousarray)"
            raise CorpusError(what, self.where, hint)
        return self.all()

    @property
    def _stored(self) -> np.dtype:
        return self._header.stored
