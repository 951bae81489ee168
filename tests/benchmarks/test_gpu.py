"""The script for a GPU works at tiny sizes on a CPU, and a second call goes on."""

import json
import sys

import gpu
import pytest

from lawm_models.training.run_folder import RunFolder

WORDS = (
    *("--device", "cpu", "--size", "small", "--preset", "demo", "--models", "1", "2"),
    *("--count", "1", "--trajectories", "20", "--minutes", "9"),
    *("--set", "steps.model=2", "--set", "steps.agent=1", "--set", "log_every=1"),
)


@pytest.mark.slow
def test_a_table_and_two_runs(tmp_path, monkeypatch, capsys):
    out, runs = tmp_path / "gpu.json", tmp_path / "runs"
    monkeypatch.setattr(sys, "argv", ["gpu.py", *WORDS, "--runs", str(runs), "--out", str(out)])
    gpu.main()
    document = json.loads(out.read_text())
    assert [row["models"] for row in document["steps"]] == [1, 2]
    for row in document["steps"]:
        assert row["model_milliseconds"] > 0
        assert row["agent_milliseconds"] > 0
        assert row["share_of_product_rate"] > 0
    assert {name: line["step"] for name, line in document["trained"].items()} == {
        "lawm": 1,
        "clap": 1,
    }
    assert all(RunFolder.open(runs / name).is_finished() for name in ("lawm", "clap"))
    before = {p: p.stat().st_mtime_ns for p in runs.rglob("step_*/*")}
    sys.argv += ["--models", "1"]
    gpu.main()
    assert {p: p.stat().st_mtime_ns for p in runs.rglob("step_*/*")} == before
