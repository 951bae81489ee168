"""``lawm runs``, ``settings`` and ``export-policy``, and the shell's completion."""

import json
from pathlib import Path

import pytest
import torch


def test_runs_are_compared(run, made: Path, trained: Path, monkeypatch, require_documented) -> None:
    result = run("lawm", "runs", made, "--json").json
    require_documented("lawm runs", result)
    (row,) = result["runs"]
    evaluation = json.loads((made / "run" / "evaluation.json").read_text())
    assert (row["state"], row["return_mean"]) == ("done", evaluation["return_mean"])
    (trained / "run.json").write_text("{}")
    monkeypatch.chdir(trained.parent)
    shown = run("lawm", "runs", ".")
    assert shown.code == 0
    assert "unreadable: run/run.json: command: Field required" in shown.out
    shown = run("lawm", "runs", made).out.splitlines()
    assert shown[1].split()[:3] == ["run", "algorithm", "mask"]
    assert shown[2].split()[:5] == ["run", "bc", "third", "2", "0"]


def test_a_folder_without_runs_says_so(run, corpus: Path, tmp_path: Path) -> None:
    assert run("lawm", "runs", corpus).out == f"no runs in {corpus}\n"
    refused = run("lawm", "runs", tmp_path / "nowhere")
    assert (refused.code, "no such folder" in refused.err) == (2, True)


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_settings_are_as_they_are_set(run, preset: str, require_documented) -> None:
    result = run("lawm", "settings", "lawm_plus", "--preset", preset, "--json").json
    require_documented("lawm settings", result)
    lines = run("lawm", "settings", "lawm_plus", "--preset", preset).out.splitlines()
    keys = [line.partition("  ")[0] for line in lines if not line.startswith(" ")]
    assert [key.partition("=")[0] for key in keys] == [one["key"] for one in result["settings"]]
    again = ("train", "--corpus", "nowhere", "--algorithm", "lawm_plus", "--preset", preset)
    words = [word for key in keys if "=" in key for word in ("--set", key)]
    # all of them are understood, and only the corpus is missing
    assert "nowhere" in run("lawm", *again, *words, "--out", "out").err


def test_policy_is_exported(run, made: Path, tmp_path: Path, require_documented) -> None:
    words = ("export-policy", made / "run", "--out", tmp_path / "policy.pt2")
    result = run("lawm", *words, "--json").json
    require_documented("lawm export-policy", result)
    assert result["state"] == 0
    assert result["bytes"] == (tmp_path / "policy.pt2").stat().st_size
    program = torch.export.load(tmp_path / "policy.pt2").module()
    assert program(observation=torch.zeros(7, 5)).shape == (7, 1)
    assert "(N, 5) float32: position[3], velocity[2]" in run("lawm", *words).out
