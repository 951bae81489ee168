"""Masks and overlays of derived corpora."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from curated import label
from lawm_schemas import ArraySpec, ConfigError

from lawm_data import (
    Corpus,
    Loader,
    edit_corpus,
    export_corpus,
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


def test_what_was_inferred_under_a_mask_goes_with_what_is_kept_of_it(
    corpus: Corpus, random_corpus: Callable, tmp_path: Path
) -> None:
    whole = filter_corpus(corpus, "length > 6", tmp_path / "long")
    shown = filter_corpus(corpus.with_mask("half"), "length > 6", tmp_path / "shown")
    assert (whole.overlays, shown.overlays) == (("idm",), ("idm",))
    for view in (
        open_corpus(whole.path).with_mask("half").with_labels("idm"),
        open_corpus(shown.path).with_labels("idm"),
    ):
        counts = view.label_counts()
        loader = Loader(view, batch_size=2, window=2, inferred=True)
        assert (loader.batch(0).labeled.all(), counts["withheld"] + counts["missing"]) == (True, 0)
    other = random_corpus("other", seed=1)
    save_mask(other, make_mask(other, 0.5, 0, "half"))
    # nobody knows what of the other one the run had seen
    merged = open_corpus(merge_corpora([corpus, other], tmp_path / "merged").path)
    with pytest.raises(ConfigError, match="saw the corpus through another mask half;"):
        Loader(merged.with_mask("half").with_labels("idm"), batch_size=2, window=2, inferred=True)
    label(other)
    merged = open_corpus(merge_corpora([corpus, other], tmp_path / "both").path)
    assert Loader(
        merged.with_mask("half").with_labels("idm"), batch_size=2, window=2, inferred=True
    )


def test_what_was_inferred_from_more_actions_does_not_go_through_a_mask(
    corpus: Corpus, tmp_path: Path
) -> None:
    save_mask(corpus, make_mask(corpus, 0.25, 0, "quarter"))
    view = corpus.with_mask("quarter")
    derived = filter_corpus(view, "length > 0", tmp_path / "quarter")
    assert derived.overlays == ()
    what = "was inferred by a run that saw other actions than the mask shows"
    assert f"overlay idm: that of {corpus.path} {what}" in derived.left
    match = "saw the corpus through mask half, not through quarter; infer them with a run"
    with pytest.raises(ConfigError, match=match):
        Loader(view.with_labels("idm"), batch_size=2, window=2, inferred=True)
    with pytest.raises(ConfigError, match=match):
        export_corpus(view.with_labels("idm"), f"lerobot:{tmp_path / 'set'}")
    assert not (tmp_path / "set").exists()


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


@pytest.fixture
def with_cameras(random_corpus: Callable, write_features: Callable) -> Corpus:
    """Two cameras of one size, and features that were made of both."""
    camera = {"shape": (4, 4, 3), "dtype": "uint8", "role": "pixels"}
    state = ArraySpec(name="state", shape=(2,))
    cameras = [ArraySpec(name=name, **camera) for name in ("left", "right")]
    made = random_corpus("seen", (3, 4), observations=[state, *cameras])
    write_features(made.path, "z")
    return open_corpus(made.path)


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ({"rename": {"left": "right", "right": "left"}}, "left, right"),
        ({"rename": {"left": "near"}}, "left"),
        ({"drop": ["right"]}, "right"),
        ({"dtype": {"state": "float64"}}, "state"),
    ],
    ids=["swapped", "renamed", "dropped", "of another type"],
)
def test_features_of_other_arrays_are_left_behind(
    with_cameras: Corpus, tmp_path: Path, change: dict, other: str
) -> None:
    derived = edit_corpus(with_cameras, tmp_path / "derived", **change)
    assert derived.features == ()
    what = "which is left out or not what it was; make them again"
    assert f"features z: were made of {other}, {what}" in derived.left


def test_features_of_larger_pictures_are_left_behind(with_cameras: Corpus, tmp_path: Path) -> None:
    smaller = merge_corpora([with_cameras], tmp_path / "small", common=True, size=2)
    assert smaller.features == ()
    assert any("features z: were made of left, right" in line for line in smaller.left)
    kept = edit_corpus(with_cameras, tmp_path / "kept", settings={"licence": "mit"})
    assert kept.features == ("z",)
