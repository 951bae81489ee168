"""Some hundred altered inputs, the same ones each time: none crashes, hangs or changes others."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz.py"
KINDS = ("native", "d4rl", "robomimic", "lerobot", "minari", "minari-arrow", "ogbench", "exorl")
MORE = ("aime", "dreamer", "d3rlpy", "tdmpc2", "zarr", "zarr-zip", "zarr-shards", "video", "hub")
PLANS = ("recipe",)


@pytest.mark.slow  # quick tests spoil files of every format, too
def test_altered_inputs_are_refused_or_read(tmp_path: Path) -> None:
    out = tmp_path / "fuzz.json"
    words = [sys.executable, "-W", "ignore", str(SCRIPT), "--inputs", "200", "--seed", "1"]
    kinds = ["--kinds", *KINDS, *MORE, *PLANS]
    done = subprocess.run([*words, *kinds, "--out", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(out.read_text())
    assert set(told["by_kind"]) == {*KINDS, *MORE, *PLANS}
    assert told["wrong"] == []
