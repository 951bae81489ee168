"""Parquet files in the making: what waits takes little memory, and nothing of it is lost."""

from pathlib import Path

import pytest

from lawm_data.exchange.formats.lerobot.parquet import TABLES, ParquetWriter

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string()), ("row", pa.list_(pa.float32(), 3))])


def row(k: int) -> pa.Table:
    numbers = pa.FixedSizeListArray.from_arrays(pa.array([k, k, k], pa.float32()), 3)
    columns = [pa.array([k], pa.int64()), pa.array([str(k)]), numbers]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def test_rows_that_wait_take_little_more_than_their_bytes(tmp_path: Path) -> None:
    count = 8 * TABLES + 3
    before = pa.total_allocated_bytes()
    file = ParquetWriter(tmp_path / "a.parquet", SCHEMA)
    for k in range(count):
        file.add(row(k))
    held = pa.total_allocated_bytes() - before
    one = row(0)
    alone = count * 64 * sum(len(column.chunk(0).buffers()) for column in one.columns)
    assert held < alone / 4
    file.close()
    found = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert found == [{"id": k, "text": str(k), "row": [k, k, k]} for k in range(count)]
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 1
