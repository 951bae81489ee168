from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lawm_schemas import ArraySpec, LabelState, MaskError, Role

from lawm_data import Corpus, make_mask, write_overlay
from lawm_data.corpus import mask as masked
from lawm_data.corpus.mask import masked_shards

PIXELS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="camera", shape=(2, 2, 3), dtype="uint8", role=Role.pixels),
    ArraySpec(name="clock", shape=(), dtype="float64"),
)


def reachable(start: Any) -> Iterator[bytes]:
    """The bytes of every array that public attributes, items and bases lead to."""
    seen: set[int] = set()
    waiting = [start]
    kept = []  # ids must not be used again while this runs
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, str | bytes | Path | int | float | np.generic):
            continue
        seen.add(id(thing))
        kept.append(thing)
        if isinstance(thing, np.ndarray):
            yield thing.tobytes()
            waiting.append(thing.base)
        elif isinstance(thing, memoryview) or type(thing).__name__ == "mmap":
            yield bytes(thing)
        elif isinstance(thing, h5py.HLObject):
            raise AssertionError("an HDF5 object leads to the whole file")
        elif isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, tuple | list):
            waiting += thing
        elif type(thing).__module__.startswith("lawm_data"):
            for name in dir(thing):
                if not name.startswith("_") and not callable(getattr(thing, name)):
                    waiting.append(getattr(thing, name))
            if isinstance(thing, Corpus):
                waiting += list(thing)


def rows_of(actions: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in actions]


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("in_memory", [True, False])
def test_hidden_actions_cannot_be_reached(
    random_corpus: Callable, monkeypatch: pytest.MonkeyPatch, shards: int, in_memory: bool
) -> None:
    if not in_memory:
        monkeypatch.setattr(masked, "IN_MEMORY", 0)
    corpus = random_corpus(observations=PIXELS, partial=(3,), unlabeled=(6,), shards=shards)
    mask = make_mask(corpus, 0.25, 0, "m")
    hidden, shown = [], []
    for trajectory in corpus:
        if trajectory.actions is not None:
            rows = rows_of(trajectory.actions[trajectory.action_observed])
            (shown if trajectory.info.id in mask.labeled else hidden).extend(rows)
    full = list(reachable(corpus))
    # The search finds what is there to be found.
    assert all(any(row in content for content in full) for row in hidden + shown)
    view = corpus.with_mask(mask)
    views = [
        view,
        view.filter(lambda info: True),
        corpus.filter(lambda info: True).with_mask(mask),
        view.filter(lambda info: info.num_observed == 0),
    ]
    for each in views:
        found = list(reachable(each))
        assert not [row for row in hidden if any(row in content for content in found)]
    found = list(reachable(view))
    assert all(any(row in content for content in found) for row in shown)


def test_a_masked_view_reads_what_the_mask_shows(random_corpus: Callable) -> None:
    corpus = random_corpus(partial=(3,), unlabeled=(6,), shards=2)
    mask = make_mask(corpus, 0.5, 0, "m")
    view = corpus.with_mask(mask)
    assert view.fingerprint == corpus.fingerprint
    for seen, real in zip(view, corpus, strict=True):
        np.testing.assert_array_equal(seen.rewards, real.rewards)
        np.testing.assert_array_equal(seen.observations.state, real.observations.state)
        if real.info.id in mask.labeled:
            assert seen.labels is LabelState.observed
            assert seen.is_labeled
            np.testing.assert_array_equal(seen.actions, real.actions)
        else:
            assert seen.actions is None
            assert not seen.action_observed.any()
            assert seen.info.num_observed == 0
            assert seen.labels is (
                LabelState.missing if real.actions is None else LabelState.withheld
            )
    readable = view.index.action_row >= 0
    np.testing.assert_array_equal(readable, np.isin(view.table.id, mask.labeled))
    assert not view.index.partial.any()


def test_partial_flags_follow_their_actions(random_corpus: Callable) -> None:
    # No mask file may show a partially labeled trajectory; the shards could.
    corpus = random_corpus(partial=(1, 3), unlabeled=(6,), shards=2)
    readable = np.isin(np.arange(8), (1, 2, 5))
    shards, rows = masked_shards(corpus._store, readable)
    for i in np.flatnonzero(readable):
        shard, length = shards[corpus.index.shard[i]], corpus.index.length[i]
        taken = slice(rows[i], rows[i] + length)
        actions, flags = shard.actions, shard.action_observed
        assert actions is not None
        np.testing.assert_array_equal(actions[taken], corpus[i].actions)
        observed = np.ones(length, bool) if flags is None else flags[taken]
        np.testing.assert_array_equal(observed, corpus[i].action_observed)
    assert (rows[~readable] == -1).all()


def test_there_is_no_way_back(random_corpus: Callable) -> None:
    corpus = random_corpus()
    small, large = (make_mask(corpus, f, 0, "m") for f in (0.25, 0.75))
    other = make_mask(corpus, 0.25, 3, "other")
    assert not set(other.labeled) <= set(small.labeled)
    view = corpus.with_mask(small)
    for mask in (large, other):
        with pytest.raises(MaskError, match="would show actions that mask 'm' hides"):
            view.with_mask(mask)
    narrowed = corpus.with_mask(large).with_mask(small)
    assert narrowed.mask == small
    assert narrowed.label_counts() == view.label_counts()
    everything = make_mask(corpus, 1.0, 0, "all")
    with pytest.raises(MaskError, match="would show"):
        view.filter(lambda info: True).with_mask(everything)


def test_masks_made_of_a_view_stay_inside_it(random_corpus: Callable) -> None:
    corpus = random_corpus()
    view = corpus.with_mask(make_mask(corpus, 0.5, 0, "half"))
    inner = make_mask(view, 0.25, 7, "inner")
    assert set(inner.labeled) <= set(view.mask.labeled)
    assert view.with_mask(inner).label_counts()["observed"] == 2


def test_inferred_labels_do_not_count_as_observed(random_corpus: Callable) -> None:
    corpus = random_corpus(unlabeled=(6,))
    view = corpus.with_mask(make_mask(corpus, 0.25, 0, "m"))
    labels = [
        (t.info.id, np.full((len(t), 3), 0.5), np.full((len(t), 3), 0.1))
        for t in view
        if t.actions is None
    ]
    write_overlay(view, labels, name="idm", model="0" * 64, algorithm="lawm")
    filled = view.with_labels("idm")
    assert filled.label_counts() == {"observed": 2, "withheld": 0, "missing": 0, "inferred": 6}
    np.testing.assert_array_equal(filled.index.action_row, view.index.action_row)
    for trajectory in filled:
        assert trajectory.actions is not None
        assert trajectory.actions.shape == (len(trajectory), 3)
        if trajectory.labels is LabelState.inferred:
            assert not trajectory.is_labeled
            assert not trajectory.action_observed.any()
            assert (trajectory.actions == 0.5).all()
            assert trajectory.action_std is not None
        else:
            assert trajectory.action_std is None
