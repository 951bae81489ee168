"""``lawm compare-labels``, which says what it reads and asks first, and ``lawm audit``."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def labeled(run, made: Path, corpus: Path) -> Path:
    """The corpus with two overlays, of all hidden trajectories and of some."""
    words = ("relabel", made / "run", "--corpus", corpus, "--json")
    result = run("lawm", *words, "--name", "all").json
    limit = result["uncertainty"]["median"]
    assert run("lawm", *words, "--name", "sure", "--max-uncertainty", limit).code == 0
    return corpus


def test_withheld_actions_are_read_on_request_alone(run, labeled: Path) -> None:
    result = run("lawm", "compare-labels", labeled, "--labels", "all")
    assert (result.code, result.out) == (2, "")
    assert "needs actions that masks hide; allow --truth-from-withheld" in result.err


def test_tables_and_picture(run, labeled: Path, tmp_path: Path) -> None:
    words = ("--labels", "all", "--labels", "sure", "--truth-from-withheld", "--own")
    for ending, begins in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        picture = tmp_path / f"labels{ending}"
        result = run("lawm", "compare-labels", labeled, *words, "--picture", picture)
        assert result.code == 0, result.err
        assert picture.read_bytes().startswith(begins)
    for word in ("R² by return", "R² by source", "expected", "observed", "written nowhere"):
        assert word in result.out


def test_other_pictures_are_refused(run, labeled: Path, tmp_path: Path) -> None:
    words = ("--labels", "all", "--truth-from-withheld", "--picture", tmp_path / "labels.jpg")
    result = run("lawm", "compare-labels", labeled, *words)
    assert result.code == 2
    assert "'labels.jpg' is no picture; end it in .png, .pdf, .svg" in result.err


def test_verdict_and_exit_code(run, require_documented, trained: Path) -> None:
    result = run("lawm", "audit", trained, "--steps", 2, "--json")
    assert (result.code, result.json["passed"]) == (0, True)
    require_documented("lawm audit", result.json)
    shown = run("lawm", "audit", trained, "--steps", 1)
    assert shown.code == 0
    for word in ("withheld", "bit for bit", "it saw the observed actions and no others"):
        assert word in shown.out
    record = json.loads((trained / "run.json").read_text())
    record["corpora"][0]["mask_sha256"] = "0" * 64
    del record["checksum"]
    (trained / "run.json").write_text(json.dumps(record))
    shown = run("lawm", "audit", trained)
    assert shown.code == 1
    assert "FAILED" in shown.out
    assert "not proved" in shown.out


def test_what_cannot_be_audited_is_one_line(run, trained: Path, tmp_path: Path) -> None:
    for words, line in (
        ((tmp_path / "new",), "not a run folder"),
        ((trained, "--steps", 0), "--steps"),
    ):
        result = run("lawm", "audit", *words)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert line in result.err
    (trained / "checkpoints").rename(tmp_path / "away")
    result = run("lawm", "audit", trained)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "has no checkpoint" in result.err
