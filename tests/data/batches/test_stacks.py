"""Stacks of frames in batches."""

from collections.abc import Callable

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_data import Corpus, Loader
from lawm_data.batches.stacks import stacked_specs

CAMERA = ArraySpec(name="camera", shape=(4, 6, 3), dtype="uint8", role=Role.pixels)
STATE = ArraySpec(name="state", shape=(2,))


@pytest.fixture
def corpus(random_corpus: Callable[..., Corpus]) -> Corpus:
    return random_corpus("corpus", (3, 9, 20, 1), observations=(CAMERA, STATE))


@pytest.mark.parametrize("count", [2, 3, 16])
def test_a_stack_is_the_frames_up_to_a_step(corpus: Corpus, count: int) -> None:
    """Also before the start, where the first frame is repeated, and after the end, the last."""
    plain, loader = Loader(corpus, 32, 5), Loader(corpus, 32, 5, frame_stack=count)
    padded = early = False
    for _ in range(4):
        one, batch = plain.next(), loader.next()
        assert batch.pixels["camera"].shape == (32, 6, 4, 6, 3 * count)
        for name in ("observation", "action", "valid", "trajectory", "start"):
            assert (getattr(one, name) == getattr(batch, name)).all()
        for row, (place, start) in enumerate(
            zip(batch.trajectory.tolist(), batch.start.tolist(), strict=True)
        ):
            images = corpus[place].observations["camera"]
            for t in range(6):
                last = min(start + t, len(images) - 1)
                steps = start + t - np.arange(count)[::-1]
                padded, early = padded or last < start + t, early or steps[0] < 0
                frames = images[np.clip(steps, 0, len(images) - 1)]
                expected = np.concatenate(list(frames), -1)
                np.testing.assert_array_equal(batch.pixels["camera"][row, t].numpy(), expected)
    assert padded
    assert early


def test_one_frame_is_no_stack(corpus: Corpus) -> None:
    one, other = Loader(corpus, 8, 3).next(), Loader(corpus, 8, 3, frame_stack=1).next()
    assert (one.pixels["camera"] == other.pixels["camera"]).all()
    specs = corpus.manifest.observations
    assert stacked_specs(specs, 1) == specs
    assert [spec.shape for spec in stacked_specs(specs, 3)] == [(4, 6, 9), (2,)]


def test_shifts_move_a_whole_stack(corpus: Corpus) -> None:
    """All its frames alike, as a shift of the window moves it."""
    moved = Loader(corpus, 8, 3, random_shift=2).next().pixels["camera"]
    stacks = Loader(corpus, 8, 3, random_shift=2, frame_stack=2).next().pixels["camera"]
    np.testing.assert_array_equal(stacks[..., 3:], moved)


@pytest.mark.parametrize("count", [0, -1, 17])
def test_too_many_frames_are_refused(corpus: Corpus, count: int) -> None:
    with pytest.raises(ConfigError, match=f"frame_stack: is {count}; give a whole number from 1"):
        Loader(corpus, 8, 3, frame_stack=count)
