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
            assert found.index(True) == batch.corpus[b]
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
ACTION = ArraySpec(name="action", shape=(3,), role=Role.action, low=(-1.0,) * 3, high=(1.0,) * 3)
POSITION, HEIGHT = ArraySpec(name="position", shape=(2,)), ArraySpec(name="height", shape=())


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"observations": (POSITION,)},
            r"other: the state is position .*, not .*height .*edit .*one --fields position --out",
        ),
        (
            {"observations": (HEIGHT, POSITION)},
            r"the state is height .*edit .*other --fields position,height --out",
        ),
        (
            {"observations": (POSITION, HEIGHT, CAMERA)},
            r"the pixels are camera .*, not none; .*edit .*other --drop camera --out",
        ),
        (
            {"action": ArraySpec(name="action", shape=(2,), role=Role.action)},
            r"other: the action has shape \(2,\), not \(3,\); .*train on corpora of one",
        ),
        (
            {"action": ACTION.model_copy(update={"high": (2.0,) * 3})},
            r"other: the action has bounds -1:2, not -1:1; .*edit .*one --bounds action=-1:2 --out",
        ),
    ],
)
def test_corpora_of_different_arrays_do_not_mix(random_corpus, change, line):
    with pytest.raises(ConfigError, match=line):
        Loader([(random_corpus("one"), 1.0), (random_corpus("other", **change), 1.0)], 4, 7)


@pytest.mark.parametrize("resident", [False, True])
def test_types_bounds_and_names_that_say_nothing_do_not_keep_corpora_apart(random_corpus, resident):
    """A window has the numbers of its trajectory, whichever corpus it is from."""
    wide = {
        "observations": (ArraySpec(name="state", shape=(4,), dtype="float64"),),
        "action": ArraySpec(name="a", shape=(3,), dtype="float64", role=Role.action),
    }
    narrow = {"observations": (ArraySpec(name="observation", shape=(4,)),)}
    one = random_corpus("one", lengths=(30, 20), **narrow)
    other = random_corpus("other", lengths=(25, 9, 12), unlabeled=(1,), seed=1, shards=2, **wide)
    loader = Loader([(one, 1.0), (other, 1.0)], 32, 4, resident=resident)
    seen = [0, 0]
    for _ in range(5):
        batch = loader.next()
        for b in range(32):
            place, corpus = next(
                (n, c) for n, c in enumerate((one, other)) if window_is_from(c, batch, b)
            )
            assert place == batch.corpus[b]
            seen[place] += 1
            t, start = corpus[int(batch.trajectory[b])], int(batch.start[b])
            steps = slice(start, start + 4)
            state = t.observations.state[start : start + 5]
            assert np.array_equal(batch.observation[b], state.astype(np.float32))
            assert np.array_equal(batch.reward[b], t.rewards[steps])
            if t.actions is not None:
                assert np.array_equal(batch.action[b], t.actions[steps].astype(np.float32))
    assert min(seen) > 10
