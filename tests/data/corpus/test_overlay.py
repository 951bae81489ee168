from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LabelState, Role, StorageError

from lawm_data import (
    Corpus,
    make_mask,
    mask_sha256,
    open_corpus,
    read_overlay,
    summarize,
    write_overlay,
)
from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.overlay import open_labels, overlay_names

DESCRIBED: dict[str, Any] = {"model": "0" * 64, "algorithm": "lawm"}


def masked(corpus: Corpus) -> Corpus:
    return corpus.with_mask(make_mask(corpus, 0.25, 0, "quarter"))


def labels(view: Corpus) -> list[tuple[str, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    shape = view.manifest.action.shape
    return [
        (t.info.id, rng.normal(size=(len(t), *shape)), rng.random((len(t), *shape)))
        for t in view
        if t.actions is None
    ]


def test_labels_are_read_as_they_were_written(random_corpus: Callable) -> None:
    view = masked(random_corpus(unlabeled=(6,)))
    # Overlays are not in corpus order, and need not cover everything.
    given = labels(view)[::-1][1:]
    overlay = write_overlay(
        view, iter(given), name="idm", **DESCRIBED, nmse_per_dimension=[0.1, 0.2, 0.3], r2=0.8
    )
    assert view.mask is not None
    assert (overlay.mask, overlay.mask_sha256) == ("quarter", mask_sha256(view.mask))
    assert (overlay.trajectories, overlay.r2) == (5, 0.8)
    assert read_overlay(view.path / "labels/idm") == overlay
    filled = view.with_labels("idm")
    assert filled.label_counts() == {"observed": 2, "withheld": 1, "missing": 0, "inferred": 5}
    expected = {name: (mean, std) for name, mean, std in given}
    for trajectory in filled:
        if trajectory.labels is LabelState.inferred:
            mean, std = expected[trajectory.info.id]
            np.testing.assert_array_equal(trajectory.actions, mean.astype(np.float32))
            np.testing.assert_array_equal(trajectory.action_std, std.astype(np.float32))
        else:
            assert trajectory.info.id not in expected
    assert summarize(view)["overlays"]["idm"]["trajectories"] == 5
    assert validate(view.path) == []


def test_recorded_actions_come_before_inferred_ones(random_corpus: Callable) -> None:
    corpus = random_corpus(unlabeled=(6,))
    view = masked(corpus)
    write_overlay(view, labels(view), name="idm", **DESCRIBED)
    whole = corpus.with_labels("idm")
    assert whole.label_counts() == {"observed": 7, "withheld": 0, "missing": 0, "inferred": 1}
    for seen, real in zip(whole, corpus, strict=True):
        if real.actions is not None:
            np.testing.assert_array_equal(seen.actions, real.actions)


def test_discrete_and_empty_overlays(random_corpus: Callable) -> None:
    action = ArraySpec(name="button", shape=(), dtype="int64", role=Role.action)
    corpus = random_corpus(action=action, unlabeled=(2,))
    write_overlay(corpus, labels(corpus), name="one", **DESCRIBED)
    actions = corpus.with_labels("one")[2].actions
    assert actions is not None
    assert actions.shape == (12,)
    write_overlay(corpus, [], name="none", **DESCRIBED)
    assert corpus.with_labels("none").label_counts() == corpus.label_counts()
    assert overlay_names(corpus.path) == ["none", "one"]


BAD: dict[str, tuple[Callable, type, str]] = {
    "unknown": (lambda i, m, s: [("f" * 16, m, s)], CorpusError, "is not in this view"),
    "twice": (lambda i, m, s: [(i, m, s), (i, m, s)], CorpusError, "is labeled twice"),
    "T+1": (lambda i, m, s: [(i, m[:-1], s)], CorpusError, r"have shape \(3, 3\); give \(4, 3\)"),
    "narrow": (lambda i, m, s: [(i, m, s[:, 1:])], CorpusError, r"have shape \(4, 2\)"),
    "NaN": (lambda i, m, s: [(i, m * np.nan, s)], CorpusError, "are not finite"),
    "negative": (lambda i, m, s: [(i, m, -s)], CorpusError, "uncertainty below zero"),
}


@pytest.mark.parametrize(("change", "kind", "message"), BAD.values(), ids=BAD.keys())
def test_labels_that_do_not_fit_are_refused(
    random_corpus: Callable, change: Callable, kind: type, message: str
) -> None:
    view = random_corpus(unlabeled=(1,))
    with pytest.raises(kind, match=message):
        write_overlay(view, change(*labels(view)[0]), name="idm", **DESCRIBED)
    assert not (view.path / "labels").exists()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x"])
def test_names_that_are_no_folder_names_are_refused(random_corpus: Callable, name: str) -> None:
    view = random_corpus(unlabeled=(1,))
    with pytest.raises(ConfigError, match="overlay"):
        write_overlay(view, labels(view), name=name, **DESCRIBED)
    with pytest.raises(CorpusError, match="no such overlay"):
        view.with_labels(name)
    assert not (view.path / "labels").exists()


def test_overlays_are_not_overwritten(random_corpus: Callable) -> None:
    view = random_corpus(unlabeled=(1,))
    write_overlay(view, labels(view), name="idm", **DESCRIBED)
    with pytest.raises(CorpusError, match="another overlay has this name"):
        write_overlay(view, labels(view), name="idm", **DESCRIBED)
    with pytest.raises(CorpusError, match="no such overlay; overlays here: idm"):
        view.with_labels("other")


def test_overlays_are_replaced_when_asked(random_corpus: Callable) -> None:
    view = random_corpus(unlabeled=(1,))
    write_overlay(view, labels(view), name="idm", **DESCRIBED)
    before = view.with_labels("idm")[1].actions
    other = [(name, mean + 1, std) for name, mean, std in labels(view)]
    write_overlay(view, other, name="idm", replace=True, **DESCRIBED)
    assert view.with_labels("idm")[1].actions == pytest.approx(before + 1, rel=1e-5)
    assert [entry.name for entry in (view.path / "labels").iterdir()] == ["idm"]


def test_a_refused_overlay_leaves_nothing(
    random_corpus: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = random_corpus(unlabeled=(1,))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    found = labels(view)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="no space left"):
        write_overlay(view, found, name="idm", **DESCRIBED)
    assert not list((view.path / "labels").iterdir())


def test_an_unfinished_overlay_is_none(random_corpus: Callable) -> None:
    view = random_corpus(unlabeled=(1,))
    folder = view.path / "labels/idm"
    folder.mkdir(parents=True)
    (folder / "actions.h5").write_bytes(b"half")
    with pytest.raises(CorpusError, match="no such overlay"):
        view.with_labels("idm")
    write_overlay(view, labels(view), name="idm", **DESCRIBED)
    assert view.with_labels("idm").label_counts()["inferred"] == 1


def test_an_overlay_belongs_to_one_corpus(random_corpus: Callable) -> None:
    one, two = random_corpus("one", unlabeled=(1,)), random_corpus("two", seed=1)
    write_overlay(one, labels(one), name="idm", **DESCRIBED)
    (one.path / "labels").rename(two.path / "labels")
    with pytest.raises(CorpusError, match="overlay idm: belongs to corpus"):
        two.with_labels("idm")
    assert [(f.severity, f.what[:17]) for f in validate(two.path)] == [
        ("warning", "belongs to anothe")
    ]


def damage_arrays(folder: Path) -> None:
    path = folder / "actions.h5"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_arrays, "was altered"),
        (lambda folder: (folder / "actions.h5").unlink(), "actions.h5: is missing"),
        (lambda folder: (folder / "actions.h5").write_bytes(b""), "is empty"),
        (lambda folder: (folder / "actions.h5").write_bytes(b"x" * 999), "was altered"),
        (lambda folder: (folder / "overlay.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "overlay.json").write_text("{}"), "Field required"),
    ],
)
def test_damaged_overlays_are_refused(
    random_corpus: Callable, damage: Callable, message: str
) -> None:
    corpus = random_corpus(unlabeled=(1,))
    write_overlay(corpus, labels(corpus), name="idm", **DESCRIBED)
    damage(corpus.path / "labels/idm")
    with pytest.raises(CorpusError, match=message):
        open_labels(corpus, "idm", verify=True)
    findings = validate(corpus.path)
    assert [finding.severity for finding in findings] == ["error"]
    open_corpus(corpus.path, verify=True)
