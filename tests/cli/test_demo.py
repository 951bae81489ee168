from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_cli import demo

from lawm_data import open_corpus

TINY = (
    "steps={model: 2, agent: 4}",
    "window=8",
    "batch_size=2",
    "evaluate_every=2",
    "evaluation_episodes=1",
    "algorithm.settings.model.rssm={deter: 4, stoch: 3, hidden: 5}",
    "algorithm.settings.model.embed=4",
    "algorithm.settings.model.units=4",
    "algorithm.settings.agent.units=4",
)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture
def summary(run, out: Path) -> dict:
    """The whole demo on the shipped corpus, with networks too small to learn."""
    words = [word for pair in TINY for word in ("--set", pair)]
    return run("lawm", "demo", "--out", out, *words, "--json").json


def test_demo_does_the_whole_job(summary: dict, out: Path) -> None:
    corpus = open_corpus(out / "corpus")
    labeled = round(demo.FRACTION * len(corpus))
    assert summary["corpus"]["trajectories"] == len(corpus)
    assert summary["corpus"]["labeled"] == labeled
    assert summary["labels"]["trajectories"] == len(corpus) - labeled
    assert summary["evaluation"]["episodes"] == 1
    assert Path(summary["picture"]).read_bytes().startswith(b"\x89PNG")
    inferred = corpus.with_mask(demo.MASK).with_labels(demo.LABELS)
    assert inferred.label_counts()["inferred"] == len(corpus) - labeled


def test_demo_again_changes_nothing(summary: dict, out: Path, run) -> None:
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.h5")}
    words = [word for pair in TINY for word in ("--set", pair)]
    assert run("lawm", "demo", "--out", out, *words, "--json").json == summary
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.h5")} == before
    assert "best return" in run("lawm", "demo", "--out", out, *words).out


def test_true_and_inferred_actions_are_those_of_the_same_steps(summary: dict, out: Path) -> None:
    corpus = open_corpus(out / "corpus")
    mask = corpus.masks()[demo.MASK]
    hidden = corpus.filter(~np.isin(corpus.table.id, mask.labeled))
    actions = demo.true_and_inferred(hidden, hidden.with_mask(mask).with_labels(demo.LABELS))
    error = np.square(actions.inferred - actions.true).mean(0) / actions.true.var(0)
    assert error.tolist() == pytest.approx(summary["labels"]["nmse_per_dimension"], rel=1e-3)


def test_demo_prints_the_keys_that_are_documented(summary: dict, require_documented) -> None:
    require_documented("lawm demo", summary)


def test_demo_of_another_seed_needs_another_folder(summary: dict, out: Path, run) -> None:
    words = [word for pair in TINY for word in ("--set", pair)]
    result = run("lawm", "demo", "--out", out, *words, "--seed", summary["seed"] + 1)
    assert (result.code, "choose another --out" in result.err) == (2, True)


@pytest.mark.slow
def test_the_demo_from_pixels_does_the_whole_job(
    run_where_it_draws: Callable[[Path], None],
) -> None:
    run_where_it_draws(Path(__file__).with_name("demo_from_pixels.py"))
