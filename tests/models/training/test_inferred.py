"""Trainings that take inferred actions for observed ones."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ConfigError, ExperimentConfig, LawmError

from lawm_data import filter_corpus, make_mask, open_corpus, save_mask, write_overlay
from lawm_models.algorithms import ALGORITHMS
from lawm_models.algorithms._offline import returns
from lawm_models.networks.scaling import all_states, labeled_states, root_mean_square
from lawm_models.runs.audit import audit
from lawm_models.runs.relabel import relabel
from lawm_models.training.trainer import train


@pytest.fixture
def corpus(make_corpus: Callable[..., Path], tmp_path: Path) -> Path:
    return make_corpus(tmp_path / "corpus")


@pytest.fixture
def on(
    experiment: Callable[..., ExperimentConfig], corpus: Path
) -> Callable[..., ExperimentConfig]:
    """A tiny experiment on the corpus, through its mask and with inferred actions."""

    def make(name: str = "bc", labels: str | None = "ours", mask: str | None = "half", **changes):
        return experiment(
            name, corpora=[{"path": str(corpus), "mask": mask, "labels": labels}], **changes
        )

    return make


def label(corpus: Path, mask: str | None, shift: float = 0.0, name: str = "ours") -> None:
    """Actions of all trajectories that have none, one and the same, as if a run inferred them."""
    view = open_corpus(corpus)
    view = view if mask is None else view.with_mask(mask)
    labels = [
        (t.info.id, np.full((len(t), 2), 0.3 + shift), np.ones((len(t), 2)))
        for t in view
        if not t.is_labeled
    ]
    write_overlay(view, labels, name=name, model="0" * 64, algorithm="lawm", replace=True)


def weights(run) -> bytes:
    return (run.latest_checkpoint() / "model.safetensors").read_bytes()


def test_what_a_run_infers_others_learn_from(on, corpus: Path, tmp_path: Path) -> None:
    """The whole way: infer, learn from it, prove that no hidden action was read."""
    first = train(on("lawm", labels=None), tmp_path / "first")
    relabel(first.path, corpus, "ours")
    run = train(on("rebrac"), tmp_path / "second")
    (seen,) = run.record.corpora
    assert (seen.labeled, seen.inferred, seen.labels) == (3, 3, "ours")
    assert seen.labels_sha256 == open_corpus(corpus).with_labels("ours").overlay.sha256
    result = audit(run, steps=2)
    assert result["passed"], [check for check in result["checks"] if not check["passed"]]
    assert result["poison"]["hidden_steps"] == 80


def test_recorded_actions_in_their_place_are_warned_of(
    on, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(corpus, "half")
    train(on(), tmp_path / "masked")
    assert "that they label" not in capsys.readouterr().err
    train(on(mask=None), tmp_path / "unmasked")
    what = "labels ours: 2 of the 3 trajectories that they label show recorded actions"
    told = f"warning: {corpus}: {what}, which are taken; with --mask half they show the inferred"
    assert told in capsys.readouterr().err


def test_other_inferred_actions_teach_something_else(on, corpus: Path, tmp_path: Path) -> None:
    found = [weights(train(on(labels=None), tmp_path / "none"))]
    for shift in (0.0, 0.5):
        label(corpus, "half", shift)
        found.append(weights(train(on(), tmp_path / f"run-{shift}")))
    assert len(set(found)) == 3


def test_who_saw_more_than_the_mask_shows_is_refused(on, corpus: Path, tmp_path: Path) -> None:
    label(corpus, None)
    with pytest.raises(ConfigError, match="saw the corpus without a mask, not through"):
        train(on(), tmp_path / "run")
    whole = open_corpus(corpus)
    save_mask(whole, make_mask(whole, 0.8, seed=0, name="most"))
    label(corpus, "most")
    with pytest.raises(ConfigError, match="saw the corpus through mask most, not through half"):
        train(on(), tmp_path / "run")
    with pytest.raises(LawmError, match="no such overlay"):
        train(on(labels="theirs"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "name", [n for n in ALGORITHMS.names() if n != "autoencoder" and not n.startswith("idm_")]
)
def test_where_nothing_is_observed_they_are_all_there_is(
    on, name: str, corpus: Path, tmp_path: Path
) -> None:
    """As of videos whose actions a run inferred that learned elsewhere."""
    whole = open_corpus(corpus)
    save_mask(whole, make_mask(whole, 0.2, seed=0, name="one"))
    label(corpus, "one")
    only = whole.with_mask("one")
    videos = tmp_path / "videos"
    filter_corpus(only, "labels != 'observed'", videos)
    label(videos, None)
    config = on(name).model_copy(
        update={"corpora": (on(mask=None).corpora[0].model_copy(update={"path": str(videos)}),)}
    )
    run = train(config, tmp_path / "run")
    assert (run.record.corpora[0].labeled, run.record.corpora[0].inferred) == (0, 5)
    if "controller" in config.steps:
        assert all("loss" in row for row in run.metrics() if row["stage"] == "controller")


def test_scales_are_of_what_is_learned_from(corpus: Path) -> None:
    label(corpus, "half")
    view = open_corpus(corpus).with_mask("half").with_labels("ours")
    assert view.label_counts()["inferred"] == 3
    whole = np.concatenate([*all_states([view])])
    np.testing.assert_array_equal(np.concatenate([*labeled_states([view])]), whole)
    assert root_mean_square([view], labeled=True) == root_mean_square([view])
    assert returns([view], labeled=True).tolist() == returns([view], labeled=False).tolist()


def test_changed_ones_are_not_gone_on_with(on, corpus: Path, tmp_path: Path) -> None:
    label(corpus, "half")
    out = tmp_path / "run"
    train(on(steps={"agent": 4}), out)
    label(corpus, "half", 0.5)
    with pytest.raises(ConfigError, match=r"the overlay ours has changed since"):
        train(on(steps={"agent": 4}), out)
    shutil.rmtree(corpus / "labels")
    with pytest.raises(LawmError, match="no such overlay"):
        train(on(steps={"agent": 4}), out)
