from __future__ import annotations

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_data import Batch, Corpus, Loader


def window_is_from(corpus: Corpus, batch: Batch, b: int) -> bool:
    i, start = int(batch.trajectory[b]), int(batch.start[b])
    if i >= len(corpus) or start >= corpus.index.length[i]:
        return False
    return corpus[i].observations.state[start].tolist() == batch.observation[b, 0].tolist()


def test_corpora_are_mixed_by_weight_on_both_sides_of_a_ratio(random_corpus):
    videos = random_corpus("videos", lengths=(40,) * 6, unlabeled=range(6), seed=1)
    both = random_corpus("both", lengths=(30,) * 4, unlabeled=(0, 1), seed=2, shards=2)
    labeled = random_corpus("labeled", lengths=(20,) * 3, seed=3)
    corpora = [(videos, 3.0), (both, 1.0), (labeled, 2.0)]
    loader = Loader(corpora, 60, 5, labeled_ratio=0.5)
    lengths = np.array([40, 30, 20])
    counts = np.zeros((2, 3))
    for _ in range(100):
        batch = loader.next()
        for b in range(60):
            # Which corpus a window is from shows in its numbers.
            found = [window_is_from(corpus, batch, b) for corpus, _ in corpora]
            assert sum(found) == 1
            assert batch.start[b] <= lengths[found][0] - 5
            counts[int(batch.labeled[b]), found.index(True)] += 1
    share = counts / counts.sum(1, keepdims=True)
    # Five standard deviations of a share of 3,000 windows are below 0.05.
    np.testing.assert_allclose(share, [[3 / 4, 1 / 4, 0], [0, 1 / 3, 2 / 3]], atol=0.05)


def test_weights_are_relative(random_corpus):
    one, other = random_corpus("one"), random_corpus("other", lengths=(30,) * 4, seed=1)
    loader = Loader([(one, 1.0), (other, 4.0)], 50, 7, short="drop")
    long = 0
    for _ in range(100):
        long += int((loader.next().trajectory < 4).sum())
    lengths = np.maximum(one.index.length - 6, 0)
    expected = 0.8 + 0.2 * lengths[:4].sum() / lengths.sum()
    assert long / 5000 == pytest.approx(expected, abs=0.03)


def test_an_empty_view_is_refused(random_corpus):
    corpus = random_corpus()
    with pytest.raises(ConfigError, match="the view holds no trajectories"):
        Loader(corpus.filter([]), 4, 7)
    with pytest.raises(ConfigError, match="no corpus to draw from"):
        Loader([], 4, 7)


CAMERA = ArraySpec(name="camera", shape=(4, 5, 3), dtype="uint8", role=Role.pixels)
POSITION, HEIGHT = ArraySpec(name="position", shape=(2,)), ArraySpec(name="height", shape=())


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"observations": (POSITION,)}, "other: the width of the state: 2, but 3 in .*one; mix"),
        (
            {"observations": (HEIGHT, POSITION)},
            "other: the state: height .*, but position ",
        ),
        ({"observations": (POSITION, HEIGHT, CAMERA)}, "other: the pixels: camera .*, but none"),
        (
            {"action": ArraySpec(name="action", shape=(2,), role=Role.action)},
            r"other: the shape of the action: \(2,\), but \(3,\) in",
        ),
        (
            {"action": ArraySpec(name="action", shape=(3,), role=Role.action)},
            "other: the bounds of the action",
        ),
    ],
)
def test_corpora_of_different_arrays_do_not_mix(random_corpus, change, line):
    with pytest.raises(ConfigError, match=line):
        Loader([(random_corpus("one"), 1.0), (random_corpus("other", **change), 1.0)], 4, 7)
