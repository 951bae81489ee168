from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FULL = """
import resource, signal, sys
from lawm_data import open_corpus
from lawm_data.exchange import export_corpus

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
export_corpus(open_corpus("corpus"), sys.argv[1])
"""


@pytest.mark.parametrize("name", ["robomimic", "d4rl"])
@pytest.mark.parametrize("limit", [0, 20_000])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, plain_plan: Callable, name: str, limit: int
) -> None:
    one = plain_plan().trajectories[0]
    plain_plan(trajectories=({**one, "length": 1000},) * 3).write(tmp_path / "corpus")
    words = [sys.executable, "-c", FULL, f"{name}:a.hdf5", str(limit)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .endswith(
            "StorageError: a.hdf5: no space left on the device; free some space and run it again"
        )
    )
    assert "Exception ignored" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
