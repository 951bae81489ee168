from __future__ import annotations

import numpy as np
import pytest
from lawm_schemas import ConfigError

from lawm_data import Loader, make_mask


@pytest.mark.parametrize("ratio", [0.0, 0.125, 0.25, 0.5, 0.7, 1.0])
def test_the_labeled_ratio_is_exact_and_labeled_windows_come_first(random_corpus, ratio):
    corpus = random_corpus()
    loader = Loader(
        corpus.with_mask(make_mask(corpus, 0.25, 0, "few")), 16, 5, labeled_ratio=ratio, seed=2
    )
    expected = np.arange(16) < round(16 * ratio)
    for _ in range(100):
        batch = loader.next()
        assert batch.labeled.tolist() == expected.tolist()
        assert (batch.action_mask == (batch.valid & batch.labeled[:, None])).all()


def test_without_a_ratio_windows_come_as_they_are(random_corpus):
    corpus = random_corpus(lengths=(30,) * 20)
    loader = Loader(corpus.with_mask(make_mask(corpus, 0.25, 0, "few")), 64, 5)
    share = np.mean([loader.next().labeled.float().mean() for _ in range(100)])
    # Five standard deviations of a share of 6,400 windows are below 0.03.
    assert share == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("ratio", [None, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("unit", ["trajectory", "window"])
@pytest.mark.parametrize(
    ("unlabeled", "partial"),
    [((), ()), ((0, 2, 5), ()), ((), (5, 7)), ((2,), (5, 7)), (range(8), ()), ((), range(8))],
)
def test_how_many_windows_are_labeled_is_known_or_left_to_chance(
    random_corpus, ratio, unit, unlabeled, partial
):
    corpus = random_corpus(unlabeled=unlabeled, partial=partial)
    try:
        loader = Loader(corpus, 16, 5, labeled_ratio=ratio, label_unit=unit)
    except ConfigError:
        assert ratio is not None  # there are no windows of one side
        return
    counts = {int(loader.next().labeled.sum()) for _ in range(40)}
    assert (loader.num_labeled is None) == (len(counts) > 1)
    assert loader.num_labeled is None or counts == {loader.num_labeled}


def test_both_sides_of_a_ratio_are_uniform_over_their_own_starts(random_corpus):
    corpus = random_corpus(lengths=(5, 14, 8, 29), unlabeled=(0, 3))
    loader = Loader(corpus, 40, 5, labeled_ratio=0.25, seed=4)
    counts = np.zeros(4)
    for _ in range(400):
        counts += np.bincount(loader.next().trajectory, minlength=4)
    # Starts: 1, 10, 4, 25; a share of 4,000 draws is within 0.04 at five deviations.
    np.testing.assert_allclose(counts[[1, 2]] / 4000, [10 / 14, 4 / 14], atol=0.04)
    np.testing.assert_allclose(counts[[0, 3]] / 12000, [1 / 26, 25 / 26], atol=0.03)


def test_label_units_differ_on_partial_trajectories_alone(random_corpus):
    corpus = random_corpus(partial=(5, 7), unlabeled=(2,))
    whole = Loader(corpus, 32, 5, labeled_ratio=0.5, label_unit="trajectory")
    parts = Loader(corpus, 32, 5, labeled_ratio=0.5, label_unit="window")
    partly = np.isin(np.arange(len(corpus)), (5, 7))
    seen_labeled = seen_unlabeled = False
    for _ in range(50):
        batch = whole.next()
        assert (batch.labeled.numpy() <= ~partly[batch.trajectory]).all()
        batch = parts.next()
        assert (batch.labeled == (batch.action_mask == batch.valid).all(1)).all()
        assert batch.labeled.sum() == 16
        labeled = batch.labeled.numpy()[partly[batch.trajectory]]
        seen_labeled, seen_unlabeled = seen_labeled | labeled.any(), seen_unlabeled | ~labeled.all()
    assert seen_labeled
    assert seen_unlabeled


def test_label_units_without_a_ratio(random_corpus):
    corpus = random_corpus(partial=(5, 7))
    whole, parts = (Loader(corpus, 64, 5, label_unit=unit) for unit in ("trajectory", "window"))
    observed = {i: corpus[i].action_observed for i in (5, 7)}
    for _ in range(20):
        batch = whole.next()
        assert batch.labeled.tolist() == [i not in observed for i in batch.trajectory.tolist()]
        batch = parts.next()
        expected = [
            i not in observed or observed[i][s : s + 5].all()
            for i, s in zip(batch.trajectory.tolist(), batch.start.tolist(), strict=True)
        ]
        assert batch.labeled.tolist() == expected


def test_short_trajectories_are_dropped_or_padded(random_corpus):
    corpus = random_corpus()
    short = np.flatnonzero(corpus.index.length < 7)
    dropped, padded = (Loader(corpus, 64, 7, short=policy) for policy in ("drop", "pad"))
    seen: set[int] = set()
    for _ in range(20):
        assert not np.isin(dropped.next().trajectory, short).any()
        batch = padded.next()
        pads = ~batch.valid.all(1).numpy()
        assert np.isin(batch.trajectory[pads], short).all()
        assert (batch.start[pads] == 0).all()
        seen |= set(batch.trajectory[pads].tolist())
    assert seen == set(short.tolist())


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"batch_size": 0}, "batch_size: 0 is below 1; give 1 or more"),
        ({"window": 0}, "window: 0 is below 1; give 1 or more"),
        ({"labeled_ratio": 1.5}, r"labeled_ratio: 1.5 is outside \[0, 1\]"),
        ({"labeled_ratio": float("nan")}, r"labeled_ratio: nan is outside \[0, 1\]"),
        ({"labeled_ratio": 0.1}, "labeled_ratio: 0.1 of 4 windows leaves no labeled one"),
        ({"labeled_ratio": 0.9}, "labeled_ratio: 0.9 of 4 windows leaves no unlabeled one"),
        ({"labeled_ratio": 0.5}, "labeled_ratio: 0.5 asks for 2 unlabeled windows .* there are no"),
        ({"short": "cut"}, "short: 'cut' is unknown; known: drop, pad, error"),
        ({"label_unit": "step"}, "label_unit: 'step' is unknown; known: trajectory, window"),
        ({"short": "error"}, r"window: 7 steps, but trajectory \w+ has 1; give 1 or less"),
        ({"device": "nowhere"}, "device: nowhere is not available here; use cpu"),
        ({"weight": 0.0}, "corpus: weight 0.0; give a number above 0"),
        ({"weight": float("inf")}, "corpus: weight inf; give a number above 0"),
    ],
)
def test_bad_settings_are_refused_in_one_line(random_corpus, settings, line):
    weight = settings.pop("weight", 1.0)
    with pytest.raises(ConfigError, match=line):
        Loader([(random_corpus(), weight)], **{"batch_size": 4, "window": 7, **settings})


@pytest.mark.parametrize("short", ["drop", "pad", "error"])
def test_a_window_longer_than_every_trajectory_is_refused(random_corpus, short):
    corpus = random_corpus()
    Loader(corpus, 4, 30, short="drop")
    line = rf"window: 31 steps, but the longest trajectory \({corpus.table.id[7]}\) has 30; give 30"
    with pytest.raises(ConfigError, match=line):
        Loader(corpus, 4, 31, short=short)


def test_a_corpus_that_would_not_take_part_is_refused(random_corpus):
    long, short = random_corpus("long"), random_corpus("short", lengths=(3, 4))
    with pytest.raises(ConfigError, match="short: no trajectory has the 7 steps of a window"):
        Loader([(long, 1.0), (short, 1.0)], 4, 7, short="drop")
    assert not Loader([(long, 1.0), (short, 1.0)], 64, 7).next().valid.all()


def test_a_ratio_without_labels_is_refused(random_corpus):
    corpus = random_corpus(unlabeled=range(8))
    assert not Loader(corpus, 4, 7).next().labeled.any()
    with pytest.raises(ConfigError, match="2 labeled windows in a batch, but there are no labeled"):
        Loader(corpus, 4, 7, labeled_ratio=0.5)
