"""Writing Parquet on a disk that may be full."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetWriter


@cache
def parquet_writer() -> type[ParquetWriter]:
    """Pyarrow's writer, imported when it is used.

    A file that could not be closed is left alone: pyarrow would try it once more when the writer is
    collected, and Python print the traceback of that.
    """
    from pyarrow.parquet import ParquetWriter

    class Writer(ParquetWriter):
        def __del__(self) -> None:
            pass

    return Writer
