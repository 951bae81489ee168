"""A film is whole, or an error in one line: ffmpeg fails on its own, and at the end too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lawm_data.system.video import Film

pytest.importorskip("imageio_ffmpeg")

WRITE = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from lawm_data.system.video import Film

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
film = Film(Path("a.mp4"), 32, 48, 10)
resource.prlimit(film._process.pid, resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
for picture in np.random.default_rng(0).integers(0, 256, (30, 32, 48, 3), dtype="u1"):
    film.add(picture)
film.close()
"""


def written(folder: Path, limit: int) -> subprocess.CompletedProcess[str]:
    """Write a film of 30 pictures on a disk that holds so many bytes."""
    words = [sys.executable, "-c", WRITE, str(limit)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


def test_a_disk_that_is_full_at_the_end_is_an_error(tmp_path: Path) -> None:
    done = written(tmp_path, 1 << 30)
    assert (done.returncode, done.stderr) == (0, "")
    size = (tmp_path / "a.mp4").stat().st_size
    for limit in (100, size // 2, size - 1):
        done = written(tmp_path, limit)
        assert done.returncode == 1
        lines = done.stderr.strip().splitlines()
        assert "StorageError: a.mp4: ffmpeg stopped: " in lines[-1]
        assert lines[-1].endswith("; check the space on the device")
        assert lines[0].startswith("Traceback")  # and nothing that ffmpeg has said


def test_what_is_abandoned_does_not_go_on(tmp_path: Path) -> None:
    film = Film(tmp_path / "a.mp4", 32, 48, 10)
    film.add(np.zeros((32, 48, 3), np.uint8))
    film.abandon()
    assert film._process.poll() is not None
    film.abandon()
