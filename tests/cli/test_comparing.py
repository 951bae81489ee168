"""``lawm compare-labels``: it says what it reads, and asks first."""

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
