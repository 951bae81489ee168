"""``push-to-hub`` and ``pull``, and training on what is on the Hub."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lawm_data import open_corpus
from lawm_models.training.configure import corpus_source

# The server of the tests in tests/data/hub.
sys.path.append(str(Path(__file__).resolve().parents[1] / "data" / "exchange" / "hub"))

from hub_fixture import hub as hub
from hub_server import Hub


def test_push_and_pull(
    hub: Hub, run: Callable, corpus: Path, tmp_path: Path, require_documented: Callable
) -> None:
    words = ("push-to-hub", corpus, "user/cs", "--mask", "third", "--licence", "MIT", "--json")
    result = run("lawm-data", *words, "--dry-run")
    require_documented("lawm-data push-to-hub", result.json)
    assert not hub.repos
    pushed = run("lawm-data", *words)
    assert pushed.json["commit"] == hub.repos["user/cs"].head
    assert pushed.json["withheld"] == 4
    result = run("lawm-data", "pull", "user/cs", tmp_path / "out", "--dry-run", "--json")
    require_documented("lawm-data pull", result.json)
    assert not (tmp_path / "out").exists()
    assert (
        "nothing is fetched (--dry-run)"
        in run("lawm-data", "pull", "user/cs", tmp_path / "out", "--dry-run").out
    )
    pulled = run("lawm-data", "pull", "user/cs", tmp_path / "out", "--json")
    require_documented("lawm-data pull", pulled.json)
    assert result.json | {"steps": pulled.json["steps"], "dry_run": False} == pulled.json
    assert pulled.json["fingerprint"] == pushed.json["fingerprint"]
    assert open_corpus(tmp_path / "out").label_counts()["observed"] == 2


def test_what_people_read(hub: Hub, run: Callable, corpus: Path, tmp_path: Path) -> None:
    pushed = run("lawm-data", "push-to-hub", corpus, "user/cs", "--mask", "third")
    assert "the actions of 4 trajectories, not published" in pushed.out
    assert "the card names no licence" in pushed.err
    kept = ("push-to-hub", corpus, "user/all", "--mask", "third", "--keep-withheld", "--dry-run")
    result = run("lawm-data", *kept)
    assert "nothing is published (--dry-run)" in result.out
    assert "the actions of 4 trajectories, published all the same" in result.out
    refused = run("lawm-data", "push-to-hub", corpus, "user/cs")
    assert refused.code == 2
    assert refused.err.splitlines()[-1].startswith("lawm-data: user/cs: holds another corpus")
    assert run("lawm-data", "pull", "user/none", tmp_path / "x").code == 2


def test_export_and_import_by_address(
    hub: Hub, run: Callable, corpus: Path, tmp_path: Path, require_documented: Callable
) -> None:
    pushed = run("lawm-data", "export", corpus, "hf://user/cs", "--mask", "third", "--json")
    require_documented("lawm-data export", pushed.json)
    assert pushed.json["address"] == "hf://user/cs"
    assert "export: 1 of" in pushed.err
    commit = hub.repos["user/cs"].head
    words = ("import", f"hf://user/cs@{commit}", tmp_path / "out", "--dry-run", "--json")
    result = run("lawm-data", *words)
    require_documented("lawm-data import", result.json)
    assert not (tmp_path / "out").exists()
    pulled = run("lawm-data", "import", f"hf://user/cs@{commit}", tmp_path / "out", "--json")
    require_documented("lawm-data import", pulled.json)
    assert pulled.json["source"] == f"hf://user/cs@{commit}"
    assert "import: " in pulled.err
    answer, size = (
        result.json["said"][0],
        sum(f.stat().st_size for f in (tmp_path / "out").rglob("*.*")),
    )
    assert re.fullmatch(r"(\d+) files, ([\d.]+) MB, are to be downloaded", answer)
    assert float(answer.split()[2]) == pytest.approx(size / 1e6, rel=0.01)
    assert (
        result.json | {"said": [], "steps": pulled.json["steps"], "dry_run": False} == pulled.json
    )
    back = open_corpus(tmp_path / "out")
    assert (back.fingerprint, len(back)) == (pulled.json["fingerprint"], len(open_corpus(corpus)))
    assert back.label_counts()["observed"] == 2  # what the mask hides was not published
    again = run("lawm-data", "import", "hf://user/cs", tmp_path / "out")
    assert (again.code, again.err.count("\n")) == (2, 1)


def test_train_on_an_address(hub: Hub, run: Callable, corpus: Path, tmp_path: Path) -> None:
    run("lawm-data", "push-to-hub", corpus, "user/cs", "--licence", "MIT")
    commit = hub.repos["user/cs"].head
    words = ("--mask", "third", "--algorithm", "bc", "--preset", "demo", "TINY", "--json")
    first = run("lawm", "train", "--corpus", "hf://user/cs", *words, "--out", tmp_path / "a")
    assert first.code == 0, first.err
    (record,) = first.json["corpora"]
    assert record["path"] == f"hf://user/cs@{commit}"
    assert (record["mask"], record["labeled"]) == ("third", 2)
    # Pinned, it needs no Hub any more: the run's own configuration trains the same again.
    hub.log.clear()
    again = run("lawm", "train", tmp_path / "a" / "config.yaml", "--out", tmp_path / "b", "--json")
    assert again.json["evaluation"] == first.json["evaluation"]
    assert run("lawm", "audit", tmp_path / "a", "--json").json["passed"]
    assert not hub.log
    moved = (*words[:-2], "--out", tmp_path / "a")
    assert run("lawm", "train", "--corpus", f"hf://user/cs@{commit}", *moved, "TINY").code == 0


@pytest.mark.parametrize(
    ("word", "path", "mask", "weight"),
    [
        ("hf://u/n", "hf://u/n", None, 1),
        ("hf://u/n@r", "hf://u/n@r", None, 1),
        ("hf://u/n@r*2", "hf://u/n@r", None, 2),
        ("hf://u/n@r@m", "hf://u/n@r", "m", 1),
        ("hf://u/n@r@m*0.5", "hf://u/n@r", "m", 0.5),
    ],
)
def test_addresses_as_corpora(word: str, path: str, mask: str | None, weight: float) -> None:
    source = corpus_source(word)
    assert (source.path, source.mask, source.weight) == (path, mask, weight)
