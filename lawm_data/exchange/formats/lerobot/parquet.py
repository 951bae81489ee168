"""Arrays of numbers as Arrow columns, and Parquet files that are not believed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import CorpusError
from lawm_schemas.errors import reason_of

from lawm_data.system.optional import optional
from lawm_data.system.parquet import parquet_writer

HINT = "fetch it again, or restore it from a copy"
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
    rows = np.ascontiguousarray(array).reshape(len(array), math.prod(array.shape[1:]))
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
    if types.is_null(column.type):
        return np.zeros((len(column), width), np.float32), np.zeros(len(column), bool)
    if isinstance(column, pyarrow().ExtensionArray):
        column = column.storage
    there &= ~_rows_of_nulls(column)
    values = column if there.all() else column.filter(pyarrow().array(there))
    rows, expected = len(values), len(values)
    while types.is_list(values.type) or types.is_large_list(values.type) or _is_fixed(values.type):
        if values.null_count:
            raise CorpusError("has missing numbers", where, HINT)
        if not _is_fixed(values.type) and len(values):
            lengths = values.value_lengths().to_numpy(zero_copy_only=False)
            if (lengths != lengths[0]).any():
                raise CorpusError("has rows of different lengths", where, HINT)
        values = values.flatten()
    expected *= width
    if len(values) != expected or values.null_count:
        what = "has missing numbers" if values.null_count else f"has not {width} numbers a row"
        raise CorpusError(what, where, HINT)
    if not rows and types.is_null(values.type):
        return np.zeros((len(there), width), np.float32), there
    if not (types.is_integer(values.type) or types.is_floating(values.type)) and not (
        types.is_boolean(values.type)
    ):
        raise CorpusError(f"holds {values.type}, not numbers", where, HINT)
    given = values.to_numpy(zero_copy_only=False).reshape(rows, width)
    if there.all():
        return given, there
    filled = np.zeros((len(there), width), given.dtype)
    filled[there] = given
    return filled, there


def _rows_of_nulls(column: Any) -> np.ndarray:
    """(n,) bool: the rows that are lists of nothing but nulls, as sets have what is unknown."""
    types, n = pyarrow(".types"), len(column)
    values, rows = column, np.arange(n)
    while types.is_list(values.type) or types.is_large_list(values.type) or _is_fixed(values.type):
        if _is_fixed(values.type):
            lengths = np.where(_valid(values), values.type.list_size, 0)
        else:
            lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        rows, values = np.repeat(rows, lengths), values.flatten()
    if values is column or not values.null_count:
        return np.zeros(n, bool)
    some, given = np.zeros(n, bool), np.zeros(n, bool)
    some[rows] = True
    given[rows[_valid(values)]] = True
    return some & ~given


def _valid(values: Any) -> np.ndarray:
    return np.asarray(values.is_valid().to_numpy(zero_copy_only=False), bool)


class ParquetReader:
    """A Parquet file, read by rows.

    Args:
        path: the file.
        columns: those that are read; all of them are there.
        optional: those that are read where they are there.

    Raises:
        CorpusError: missing, not Parquet, or without one of the columns.
    """

    def __init__(
        self, path: Path, columns: Sequence[str] | None = None, optional: Sequence[str] = ()
    ) -> None:
        self.path = path
        if not path.is_file():
            raise CorpusError("there is no such file", str(path), HINT)
        try:
            self._file = pyarrow(".parquet").ParquetFile(
                path, page_checksum_verification=True, pre_buffer=False, buffer_size=1 << 16
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise unreadable(path, error) from None
        self.names: list[str] = self._file.schema_arrow.names
        self.columns = self.names if columns is None else list(columns)
        self.columns += [name for name in optional if name in self.names]
        for name in self.columns:
            if self.names.count(name) != 1:
                what = f"has {self.names.count(name)} columns {name!r}"
                raise CorpusError(what, str(path), HINT)

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
    return CorpusError(f"cannot be read as Parquet ({reason_of(error)})", str(path), HINT)


def _is_fixed(kind: Any) -> bool:
    return pyarrow(".types").is_fixed_size_list(kind)


DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
TASKS_PATH = "meta/tasks.parquet"
UNNAMED_INDEX = "__index_level_0__"
"""What pandas calls the column of an index that has no name."""
CHUNK_FILES = 1000
"""Files in a chunk folder."""
DATA_MB, VIDEO_MB = 100, 200
"""Sizes at which a file is full, LeRobot's own."""
GROUP_BYTES = 1 << 24
"""Bytes of a row group."""
TABLES = 256
"""Tables that wait at most; a table of one row takes a hundred times the memory of its bytes."""


class FileIndex(NamedTuple):
    """Which file of many."""

    chunk: int
    file: int

    def next(self) -> FileIndex:
        """The next one."""
        full = self.file + 1 == CHUNK_FILES
        return FileIndex(self.chunk + full, 0 if full else self.file + 1)

    def path(self, root: Path, pattern: str, **names: str) -> Path:
        """Where it is, its folder made."""
        at = pattern.format(chunk_index=self.chunk, file_index=self.file, **names)
        path = root / at
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class ParquetWriter:
    """A Parquet file; rows wait until they make a row group."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._schema = schema
        self._sink = pyarrow().OSFile(str(path), "wb")
        # hardly a number stands there twice: a dictionary of them takes time and room
        texts: Any = [field.name for field in schema if field.type == pyarrow().string()]
        self._writer = parquet_writer()(
            self._sink,
            schema,
            compression="snappy",
            write_page_checksum=True,
            use_dictionary=texts,
        )
        self._waiting: list[Any] = []
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes written, and of what waits."""
        return self._sink.tell() + self._bytes

    def add(self, table: Any) -> None:
        """Add the rows of a table."""
        self._waiting.append(table)
        self._bytes += table.nbytes
        if self._bytes >= GROUP_BYTES:
            self._flush()
        elif len(self._waiting) == TABLES:
            self._waiting = [pyarrow().concat_tables(self._waiting).combine_chunks()]

    def close(self) -> None:
        """Write what waits, and the footer."""
        self._flush()
        self._writer.close()
        self._sink.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pyarrow().concat_tables(self._waiting))
        self._waiting, self._bytes = [], 0


class ParquetFiles:
    """Parquet files of a pattern, each of a limited size; what is added together stays together."""

    def __init__(self, root: Path, pattern: str, schema: Any) -> None:
        self._root, self._pattern, self.schema = root, pattern, schema
        self.index = FileIndex(0, 0)
        self.paths = [self.index.path(root, pattern)]
        """The files, in order."""
        self._file = ParquetWriter(self.paths[0], schema)

    def settle(self) -> FileIndex:
        """Where the rows that are added next will be."""
        if self._file.size >= DATA_MB << 20:
            self._file.close()
            self.index = self.index.next()
            self.paths.append(self.index.path(self._root, self._pattern))
            self._file = ParquetWriter(self.paths[-1], self.schema)
        return self.index

    def add(self, columns: Mapping[str, Any]) -> None:
        """Add rows, given as Arrow arrays by column."""
        arrays = [columns[name] for name in self.schema.names]
        self._file.add(pyarrow().Table.from_arrays(arrays, schema=self.schema))

    def add_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, given as plain values by column."""
        self._file.add(pyarrow().Table.from_pylist(list(rows), schema=self.schema))

    def close(self) -> None:
        """End the last file."""
        self._file.close()


def frame_schema(types: Mapping[str, Mapping[str, Any]]) -> Any:
    """The Arrow schema of frames; its metadata names the pictures, for ``datasets``.

    Args:
        types: see ``arrow_types``.
    """
    schema = pyarrow().schema([(name, _arrow_type(kind)) for name, kind in types.items()])
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": types}})})


def picture_type() -> Any:
    """What ``datasets`` stores a picture as."""
    pa = pyarrow()
    return pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def pictures(encoded: Sequence[bytes]) -> Any:
    """An Arrow array of pictures, given as the bytes of their files."""
    pa = pyarrow()
    parts = [pa.array(encoded, pa.binary()), pa.nulls(len(encoded), pa.string())]
    return pa.StructArray.from_arrays(parts, fields=list(picture_type()))


def write_tasks(root: Path, tasks: Sequence[str]) -> None:
    """``tasks.parquet``: numbers of tasks, indexed by their text as pandas stores an index."""
    pa = pyarrow()
    columns = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64"},
        {"name": None, "field_name": UNNAMED_INDEX, "pandas_type": "unicode"},
    ]
    kinds = ("int64", "object")
    pandas = {
        "index_columns": [UNNAMED_INDEX],
        "column_indexes": [],
        "columns": [
            {**column, "numpy_type": kind, "metadata": None}
            for column, kind in zip(columns, kinds, strict=True)
        ],
        "pandas_version": "2.0.0",
    }
    table = pa.table({"task_index": list(range(len(tasks))), UNNAMED_INDEX: list(tasks)})
    table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
    pyarrow(".parquet").write_table(table, root / TASKS_PATH)


def _arrow_type(kind: Mapping[str, Any]) -> Any:
    if kind["_type"] == "Image":
        return picture_type()
    if kind["_type"] == "List":
        return pyarrow().list_(_arrow_type(kind["feature"]), kind["length"])
    names = {"float32": "float", "float64": "double", "bool": "bool", "string": "string"}
    return pyarrow().type_for_alias(names.get(kind["dtype"], kind["dtype"]))
