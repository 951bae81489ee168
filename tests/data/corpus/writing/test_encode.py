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


MERGING = """
import sys
from pathlib import Path
import numpy as np
from lawm_data import CorpusWriter
from lawm_data.system.hdf5 import MappedFile
from lawm_schemas import ArraySpec, Provenance, Role

def held():
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) * 1024

spec = ArraySpec(name="camera", shape=(64, 64, 3), dtype="uint8", role=Role.pixels)
action = ArraySpec(name="action", shape=(1,), role=Role.action, low=(-1.0,), high=(1.0,))
for number in range(16):
    writer = CorpusWriter.create(sys.argv[1] + str(number), observations=(spec,), action=action)
    picture = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
    pixels = np.tile(picture, (801, 1, 1, 1))
    writer.add({"camera": pixels}, np.zeros(800), provenance=Provenance(source="a"))
    writer.close()
del pixels
paths = sorted(Path(sys.argv[1]).parent.glob("*/shards/*.h5"))
opened = [MappedFile(path) for path in paths]
fields = [file.chunked("fields/camera", "u1", (-1, 64, 64, 3)) for file in opened]
before = held()
for field in fields:
    for row in range(0, 801, 10):
        field[row : row + 10]
print((held() - before) / len(fields))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
def test_open_shards_keep_little_of_their_pixels(tmp_path: object) -> None:
    words = [sys.executable, "-c", MERGING, f"{tmp_path}/corpus"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 3 << 20  # HDF5 would keep 8 MiB of each
