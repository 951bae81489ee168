"""The bytes of a shard are made without needless copies."""

import subprocess
import sys

import pytest

GROWTH = """
import sys
from pathlib import Path
import numpy as np
from lawm_schemas import ArraySpec, Provenance, Role
from lawm_data import CorpusWriter

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) << 10

ROWS, COUNT = 1 << 10, 16
writer = CorpusWriter.create(
    sys.argv[1],
    observations=[ArraySpec(name="x", shape=(1 << 10,))],
    action=ArraySpec(name="action", shape=(1,), role=Role.action),
)
x = np.ones((ROWS + 1, 1 << 10), "f4")
for _ in range(COUNT):
    writer.add({"x": x}, np.zeros(ROWS), provenance=Provenance(source="a"))
before = peak()
writer.commit()
print((peak() - before) / writer.manifest.shards[0].bytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
def test_a_commit_holds_one_copy_of_its_shard(tmp_path: object) -> None:
    words = [sys.executable, "-c", GROWTH, f"{tmp_path}/corpus"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.5
