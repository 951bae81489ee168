from __future__ import annotations

import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, Role
from windows_read import identical

from lawm_data import Batch, Corpus, Loader, make_mask

CAMERA = ArraySpec(name="camera", shape=(4, 5, 3), dtype="uint8", role=Role.pixels)


KINDS = (
    ArraySpec(name="angle", shape=(2,), dtype="float64"),
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="count", shape=(), dtype="int32"),
    CAMERA,
    ArraySpec(name="physics", shape=(6,), dtype="float64", role=Role.physics),
)


def check_window(corpus: Corpus, batch: Batch, b: int) -> None:
    """Compare a window with the slice of its trajectory, step by step."""
    trajectory, start = corpus[int(batch.trajectory[b])], int(batch.start[b])
    steps = len(trajectory)
    assert batch.rewarded[b] == trajectory.is_rewarded
    assert trajectory.is_rewarded == ("rewards" not in trajectory.info.metadata)
    for t in range(batch.valid.shape[1] + 1):
        now = min(start + t, steps)
        assert batch.observation[b, t].tolist() == trajectory.observations.state[now].tolist()
        for name, images in batch.pixels.items():
            assert (images[b, t].numpy() == trajectory.observations[name][now]).all()
    for t in range(batch.valid.shape[1]):
        now, inside = start + t, start + t < steps
        assert batch.valid[b, t] == inside
        assert batch.reward[b, t] == (trajectory.rewards[now] if inside else 0)
        assert batch.terminated[b, t] == (inside and trajectory.terminated[now])
        observed = inside and bool(trajectory.action_observed[now])
        assert batch.action_mask[b, t] == observed
        action = trajectory.actions[now].ravel() if observed else np.zeros(batch.action.shape[2])
        assert batch.action[b, t].tolist() == action.astype(np.float32).tolist()


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("fraction", [None, 0.25])
@pytest.mark.parametrize("short", ["drop", "pad"])
@pytest.mark.parametrize("shards", [1, 4])
def test_a_window_is_a_slice_of_its_trajectory(random_corpus, shards, short, fraction, resident):
    corpus = random_corpus(shards=shards, partial=(5, 7), unlabeled=(2,), unrewarded=(0, 7))
    if fraction:
        corpus = corpus.with_mask(make_mask(corpus, fraction, 0, "few"))
    loader = Loader([(corpus, 1.0)], 16, 7, short=short, resident=resident)
    for _ in range(4):
        batch = loader.next()
        for b in range(16):
            check_window(corpus, batch, b)
        if short == "drop":
            assert batch.valid.all()


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("shards", [1, 2])
def test_other_types_and_pixels(random_corpus, shards, resident):
    whole = ArraySpec(name="action", shape=(2, 2), dtype="int64", role=Role.action)
    corpus = random_corpus(observations=KINDS, action=whole, partial=(5,), shards=shards)
    loader = Loader([(corpus, 1.0)], 8, 7, resident=resident)
    for _ in range(3):
        batch = loader.next()
        assert batch.observation.dtype == batch.action.dtype == torch.float32
        assert batch.observation.shape == (8, 8, 5)
        assert batch.pixels.keys() == {"camera"}
        for b in range(8):
            check_window(corpus, batch, b)


def test_pixels_alone(random_corpus):
    corpus = random_corpus(observations=(CAMERA,))
    batch = Loader(corpus, 8, 7).next()
    assert batch.observation.shape == (8, 8, 0)
    for b in range(8):
        check_window(corpus, batch, b)


def test_resident_batches_are_bit_identical(random_corpus):
    corpus = random_corpus(shards=2, partial=(5, 7), unlabeled=(2,), observations=KINDS)
    view = corpus.filter(np.arange(len(corpus)) != 4)
    for short in ("drop", "pad"):
        mapped = Loader([(view, 1.0)], 16, 7, short=short, seed=3)
        resident = Loader([(view, 1.0)], 16, 7, short=short, seed=3, resident=True)
        assert all(identical(mapped.next(), resident.next()) for _ in range(20))
