"""Arrays of numbers as Arrow columns, and Parquet files that are not believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import CorpusError
from lawm_schemas.errors import reason_of

from lawm_data.system.optional import optional

MEND = "fetch it again, or restore it from a copy"
BATCH_BYTES = 1 << 21
"""Decoded bytes of the rows that are read together."""


def pyarrow(module: str = "") -> Any:
    """``pyarrow`` or one of its modules, such as ``.parquet``.

    Raises:
        ConfigError: it is missing.
    """
    return optional(f"pyarrow{module}", "lerobot", "lerobot", "pyarrow")


def to_column(array: np.ndarray) -> Any:
    """(n, *shape) as an Arrow array of n numbers, or of n lists of one length."""
    pa = pyarrow()
    rows = np.ascontiguousarray(array).reshape(len(array), int(np.prod(array.shape[1:])))
    if rows.shape[1] == 1:
        return pa.array(rows[:, 0])
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def from_column(column: Any, width: int, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (n, width), and (n,) bool where there are some; zero where not.

    Raises:
        CorpusError: not numbers, of other widths, or some of a row are missing.
    """
    types = pyarrow(".types")
    there = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)
    values = column.drop_null() if column.null_count else column
    if isinstance(values, pyarrow().ExtensionArray):
        values = values.storage
    rows, expected = len(values), len(values)
    while types.is_list(values.type) or types.is_large_list(values.type) or _is_fixed(values.type):
        _require_even(values, where)
        values = values.flatten()
    expected *= width
    if len(values) != expected or values.null_count:
        what = "has missing numbers" if values.null_count else f"has not {width} numbers a row"
        raise CorpusError(what, where, MEND)
    if not (types.is_integer(values.type) or types.is_floating(values.type)) and not (
        types.is_boolean(values.type)
    ):
        raise CorpusError(f"holds {values.type}, not numbers", where, MEND)
    given = values.to_numpy(zero_copy_only=False).reshape(rows, width)
    if there.all():
        return given, there
    filled = np.zeros((len(there), width), given.dtype)
    filled[there] = given
    return filled, there


class Table:
    """A Parquet file, read by rows.

    Args:
        path: the file.
        columns: those that are read; all of them are there.

    Raises:
        CorpusError: missing, not Parquet, or without one of the columns.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None) -> None:
        self.path = path
        if not path.is_file():
            raise CorpusError("there is no such file", str(path), MEND)
        try:
            self._file = pyarrow(".parquet").ParquetFile(
                path, page_checksum_verification=True, pre_buffer=False, buffer_size=1 << 16
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise unreadable(path, error) from None
        self.names: list[str] = self._file.schema_arrow.names
        self.columns = self.names if columns is None else list(columns)
        for name in self.columns:
            if self.names.count(name) != 1:
                what = f"has {self.names.count(name)} columns {name!r}"
                raise CorpusError(what, str(path), MEND)

    def __len__(self) -> int:
        return self._file.metadata.num_rows

    def batches(self, row_bytes: int) -> Iterator[Any]:
        """Arrow record batches of bounded size.

        Args:
            row_bytes: decoded bytes of a row, or what is known of it.
        """
        size = max(1, min(1 << 16, BATCH_BYTES // max(1, row_bytes)))
        try:
            yield from self._file.iter_batches(size, columns=self.columns)
        except (OSError, ValueError, RuntimeError) as error:
            raise unreadable(self.path, error) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def unreadable(path: Path, error: Exception) -> CorpusError:
    """A Parquet file cannot be read."""
    return CorpusError(f"cannot be read as Parquet ({reason_of(error)})", str(path), MEND)


def _is_fixed(kind: Any) -> bool:
    return pyarrow(".types").is_fixed_size_list(kind)


def _require_even(values: Any, where: str) -> None:
    """Refuse lists of different lengths, and missing ones."""
    if values.null_count:
        raise CorpusError("has missing numbers", where, MEND)
    if not _is_fixed(values.type) and len(values):
        lengths = values.value_lengths().to_numpy(zero_copy_only=False)
        if (lengths != lengths[0]).any():
            raise CorpusError("has rows of different lengths", where, MEND)
