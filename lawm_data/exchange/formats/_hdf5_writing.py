"""New HDF5 files whose disk may fill up.

The HDF5 library does not recover from a write that fails: closing the file fails too, and again
when its objects are collected. So it writes to a file that keeps the first error to itself, and
the error is raised when the library is done.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
from lawm_schemas import StorageError

from lawm_data.system.hdf5 import bound_metadata


class _Sink(io.RawIOBase):
    """A file that takes everything, and remembers the first error."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def close(self) -> None:
        self._file.close()
        super().close()


class Writing:
    """An HDF5 file that is being written.

    Args:
        file: where things are stored.
        sink: what it writes to.
    """

    def __init__(self, file: h5py.File, sink: _Sink) -> None:
        self.file, self._sink = file, sink

    def require_space(self) -> None:
        """Raise the error that a write met, if one did."""
        if self._sink.error is not None:
            raise self._sink.error


@contextmanager
def new_hdf5(path: Path, place: str) -> Iterator[Writing]:
    """Make an HDF5 file.

    Args:
        path: where it is made.
        place: what messages call it.

    Raises:
        StorageError: the file system refused.
    """
    try:
        sink = _Sink(path)
    except OSError as error:
        raise StorageError.from_os_error(error, place) from None
    try:
        with h5py.File(sink, "w") as file:
            yield Writing(bound_metadata(file), sink)
    except Exception:
        if sink.error is None:
            raise
    finally:
        sink.close()
    if sink.error is not None:
        raise StorageError.from_os_error(sink.error, place) from None
