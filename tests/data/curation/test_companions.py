"""Masks and overlays of derived corpora."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from curated import label

from lawm_data import (
    Corpus,
    filter_corpus,
    make_mask,
    merge_corpora,
    open_corpus,
    read_overlay,
    save_mask,
    summarize,
)


def test_masks_and_overlays_come_along_restricted(corpus: Corpus, tmp_path: Path) -> None:
    derived = filter_corpus(corpus, "length > 6", tmp_path / "long")
    kept = open_corpus(derived.path)
    there = set(kept.table.id.tolist())
    before = corpus.with_mask("half")
    mask = kept.with_mask("half").mask
    assert mask is not None
    assert before.mask is not None
    assert mask.labeled == tuple(name for name in before.mask.labeled if name in there)
    assert (mask.fraction, mask.seed, mask.corpus) == (0.5, 0, kept.fingerprint)
    filled, was = kept.with_mask("half").with_labels("idm"), before.with_labels("idm")
    assert filled.overlay is not None
    assert was.overlay is not None
    measured = kept.with_labels("idm").overlay
    assert measured is not None
    assert measured.r2 is None  # it was measured over others too
    assert filled.overlay.created == was.overlay.created
    for new, old in zip(filled, was.filter(lambda info: info.length > 6), strict=True):
        assert new.labels == old.labels
        np.testing.assert_array_equal(new.actions, old.actions)
        np.testing.assert_array_equal(new.action_std, old.action_std)
    everything = filter_corpus(corpus, "length > 0", tmp_path / "all")
    copied = open_corpus(everything.path).with_labels("idm").overlay
    written = corpus.with_labels("idm").overlay
    assert written is not None
    assert copied == written
    assert copied.r2 == 0.5


def test_errors_of_labels_do_not_go_through_a_mask(corpus: Corpus, tmp_path: Path) -> None:
    """They were computed from actions that it hides."""
    view = corpus.with_mask("half")
    seen = view.with_labels("idm").overlay
    assert seen is not None
    assert seen.r2 is None
    assert summarize(view)["overlays"]["idm"]["r2"] is None
    assert summarize(corpus)["overlays"]["idm"]["r2"] == 0.5
    derived = filter_corpus(view, "length > 0", tmp_path / "all")
    assert read_overlay(derived.path / "labels" / "idm").r2 is None


def test_what_cannot_come_along_is_named(corpus: Corpus, tmp_path: Path) -> None:
    shown = corpus.with_mask("half").mask
    assert shown is not None
    names = ", ".join(repr(name) for name in shown.labeled)
    derived = filter_corpus(corpus, f"id not in ({names})", tmp_path / "hidden")
    assert derived.masks == ()
    assert derived.left == ("mask half: none of the trajectories that it shows is kept",)
    derived = filter_corpus(corpus, f"id in ({names})", tmp_path / "shown")
    assert (derived.masks, derived.overlays) == (("half",), ())
    assert derived.left == ("overlay idm: none of its trajectories is kept",)
    (corpus.path / "masks/half.json").write_text("{")
    derived = filter_corpus(corpus, "length > 6", tmp_path / "long")
    assert derived.masks == ()
    assert "is not JSON" in derived.left[0]


def test_masks_of_some_corpora_only_stay_behind(
    corpus: Corpus, random_corpus: Callable, tmp_path: Path
) -> None:
    other = random_corpus("other", seed=1)
    derived = merge_corpora([corpus, other], tmp_path / "one")
    assert derived.masks == ()
    assert derived.left == (f"mask half: is of {corpus.path} only, and hides all other actions",)
    assert derived.overlays == ("idm",)
    save_mask(other, make_mask(other, 0.5, 1, "half"))
    derived = merge_corpora([corpus, other], tmp_path / "two")
    assert derived.left == ("mask half: the corpora's masks of this name differ in seed",)
    save_mask(other, make_mask(other, 0.5, 0, "half"), replace=True)
    label(other, model="1" * 64)
    derived = merge_corpora([corpus, other], tmp_path / "three")
    assert derived.masks == ("half",)
    assert derived.left == ("overlay idm: the corpora's overlays of this name differ in model",)
    shown = open_corpus(derived.path).with_mask("half").filter(lambda i: i.labels == "observed")
    views = [
        view.with_mask("half").filter(lambda i: i.labels == "observed") for view in (corpus, other)
    ]
    assert shown.table.id.tolist() == [name for v in views for name in v.table.id.tolist()]


def test_what_one_corpus_hides_another_does_not_show(
    random_corpus: Callable, tmp_path: Path
) -> None:
    one, two = random_corpus("one"), random_corpus("two")
    ids = one.table.id.tolist()
    mask = make_mask(one, 0.5, 0, "half")
    save_mask(one, mask.model_copy(update={"labeled": tuple(ids[:4])}))
    save_mask(two, mask.model_copy(update={"labeled": tuple(ids[2:6])}))
    derived = merge_corpora([one, two], tmp_path / "both")
    merged = open_corpus(derived.path).with_mask("half")
    assert merged.mask is not None
    assert merged.mask.labeled == tuple(ids[2:4])
    assert derived.duplicates == len(one)
