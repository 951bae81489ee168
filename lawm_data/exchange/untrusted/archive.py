"""Distrustful access to zip files: members are read in place, nothing is ever extracted."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from lawm_schemas import CorpusError
from lawm_schemas.errors import reason_of

from lawm_data.system.atomic import storage_errors
from lawm_data.system.hdf5 import DEFLATE_RATIO

DIRECTORY_LIMIT = 1 << 24
"""Bytes of a zip's table of contents; a larger one is not read."""
HINT = "get the file again from where it came from"
_END, _END_SIZE, _COMMENT = b"PK\5\6", 22, 1 << 16
_LOCATOR, _LOCATOR_SIZE = b"PK\6\7", 20
_END64, _END64_SIZE = b"PK\6\6", 56
_ENCRYPTED = 1
_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError)
"""What the standard library raises on damaged archives, depending on where the damage is.

RuntimeError, or a class below it, comes from ``ZipFile()`` where a member needs a version above
6.3, and from ``ZipFile.open`` for an encrypted member, an unknown compression, patched data and
strong encryption (flag bits 5 and 6). Encryption and compressions other than deflate are refused by
``Archive`` before that.
"""


class Archive:
    """A zip file whose table of contents was checked; members can be read, also several at a time.

    Args:
        path: the file, and its name in messages.
        content: read from here instead, such as a member of another archive.
        directory_limit: bytes of the table of contents; a larger one is not read.

    Raises:
        CorpusError: not a zip, two members of one name, a path outside, encryption, a compression
            other than deflate, or sizes that its bytes could not hold.
        StorageError: the file system refused.
    """

    def __init__(
        self, path: Path, content: BinaryIO | None = None, directory_limit: int = DIRECTORY_LIMIT
    ) -> None:
        self.path = path
        with storage_errors(path):
            self._file = content or open_regular(path)
        try:
            with storage_errors(path):
                size = self._file.seek(0, os.SEEK_END)
                directory = _directory_size(self._file, size)
            if directory is None:
                raise self.refuse("", "is not a complete zip file")
            if directory > min(size, directory_limit):
                raise self.refuse("", f"has a table of contents of {directory} bytes")
            with self._distrust(""):
                self._zip = zipfile.ZipFile(self._file)
            self.members = self._checked(size)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def size(self, name: str) -> int:
        """Bytes of a member, uncompressed."""
        return self.members[name].file_size

    def content(self, name: str, limit: int) -> BinaryIO:
        """A whole member in memory.

        Raises:
            CorpusError: it is larger than ``limit`` bytes, or damaged.
        """
        if self.size(name) > limit:
            raise self.refuse(name, f"has {self.size(name)} bytes, more than {limit}")
        buffer = bytearray(self.size(name))
        with self.open(name) as file:
            self.read(name, file, memoryview(buffer), last=True)
        return io.BytesIO(buffer)

    def read(self, name: str, file: IO[bytes], buffer: memoryview, last: bool = False) -> None:
        """Fill a buffer from an open member; with ``last`` it must end there, and be sound.

        Raises:
            CorpusError: it ends before or after, or is damaged.
        """
        rest, more = buffer, b""
        with self._distrust(name):
            while rest and (data := file.read(min(len(rest), 1 << 20))):
                rest[: len(data)] = data
                rest = rest[len(data) :]
            if last:
                more = file.read(1)  # at the end, where the checksum is compared
        if rest or more:
            raise self.refuse(name, "is longer than it says" if more else "ends early")

    def open(self, name: str) -> IO[bytes]:
        """Open a member; its checksum is compared when its last byte is read."""
        with self._distrust(name):
            return self._zip.open(self.members[name])

    def refuse(self, name: str, what: str) -> CorpusError:
        """The error that names a member."""
        return CorpusError(what, f"{self.path}: {name}" if name else str(self.path), HINT)

    def _checked(self, size: int) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        stored = 0
        for info in self._zip.infolist():
            name = info.filename
            if not name:
                raise self.refuse("", "has a member without a name")
            if info.is_dir():
                continue
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or set(name) & set("\\:\0"):
                raise self.refuse(repr(name), "is a path that leads elsewhere")
            if name in members:
                raise self.refuse(name, "stands in the file twice")
            if info.header_offset < 0:
                raise self.refuse(name, "would begin before the file")
            if info.flag_bits & _ENCRYPTED:
                raise self.refuse(name, "is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise self.refuse(name, "is compressed with something other than deflate")
            ratio = DEFLATE_RATIO if info.compress_type == zipfile.ZIP_DEFLATED else 1
            if info.file_size > info.compress_size * ratio:
                raise self.refuse(name, f"declares {info.file_size} bytes in {info.compress_size}")
            stored += info.compress_size
            members[name] = info
        if stored > size:
            raise self.refuse("", f"declares {stored} compressed bytes and has {size}")
        return members

    @contextlib.contextmanager
    def _distrust(self, name: str) -> Iterator[None]:
        try:
            yield
        except _ERRORS as error:
            raise self.refuse(name, f"cannot be read ({reason_of(error)})") from None


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; devices and pipes are none.

    Raises:
        CorpusError: it is something else.
        FileNotFoundError: nothing is there.
    """
    if path.exists() and not path.is_file():
        raise CorpusError("is not a file", str(path), "check the place")
    return path.open("rb")


def _directory_size(file: BinaryIO, size: int) -> int | None:
    """Bytes of a zip's table of contents, as its last record says; None when there is no record.

    The standard library reads the whole table into memory, so that its size is looked at before.
    """
    tail = min(size, _END_SIZE + _COMMENT)
    file.seek(size - tail)
    data = file.read(tail)
    at = data.rfind(_END)
    if at < 0 or at + _END_SIZE > len(data):
        return None
    (directory,) = struct.unpack_from("<L", data, at + 12)
    place = size - tail + at - _LOCATOR_SIZE
    if place < 0:
        return directory
    file.seek(place)
    if file.read(4) == _LOCATOR:
        file.seek(place + 8)
        (end64,) = struct.unpack("<Q", file.read(8))
        for start in {end64, place - _END64_SIZE}:
            if 0 <= start <= size - _END64_SIZE:
                file.seek(start)
                record = file.read(_END64_SIZE)
                if record[:4] == _END64:
                    directory = max(directory, *struct.unpack_from("<Q", record, 40))
    return directory if directory != 0xFFFFFFFF else None
