"""A Parquet file on a full disk costs one error, and no traceback after it."""

import subprocess
import sys

import pytest

FULL = """
import resource, signal, sys
import pyarrow as pa
from lawm_data.system.parquet import parquet_writer

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
table = pa.table({"x": list(range(100_000))})
try:
    with parquet_writer()("x.parquet", table.schema) as writer:
        writer.write_table(table)
except OSError as error:
    print(error.errno)
"""


@pytest.mark.parametrize("limit", [0, 3, 100, 5000, 50_000])
def test_only_one_error_is_raised(tmp_path, limit):
    words = [sys.executable, "-c", FULL, str(limit)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("27\n", "", 0)
