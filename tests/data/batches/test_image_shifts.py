"""Pictures that move at random."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_data import Loader
from lawm_data.batches.image_shifts import shifted

CAMERA = ArraySpec(name="camera", shape=(6, 5, 3), dtype="uint8", role=Role.pixels)


@given(st.integers(0, 4), st.integers(0, 2**128 - 1), st.integers(0, 1000))
def test_every_window_is_itself_moved(most: int, key: int, step: int) -> None:
    """Padding by the edge and cropping, as the paper says, gives one of the same pictures."""
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 6, 5, 3), dtype=np.uint8)
    moved = shifted(images, most, key, step)
    for window, out in zip(images, moved, strict=True):
        wide = np.pad(window, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
        places = [(y, x) for y in range(2 * most + 1) for x in range(2 * most + 1)]
        assert any(np.array_equal(wide[:, y : y + 6, x : x + 5], out) for y, x in places)


def test_all_shifts_are_drawn_and_no_two_batches_alike() -> None:
    images = np.zeros((400, 1, 9, 9, 1), np.uint8)
    images[:, :, 4, 4] = 1
    moved = shifted(images, 2, key=1, step=0)
    found = {tuple(np.argwhere(window[0, :, :, 0])[0] - 4) for window in moved}
    assert found == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}
    assert not np.array_equal(moved, shifted(images, 2, key=1, step=1))
    assert not np.array_equal(moved, shifted(images, 2, key=2, step=0))


def test_a_loader_moves_pictures_and_nothing_else(random_corpus: Callable) -> None:
    corpus = random_corpus(observations=(ArraySpec(name="x", shape=(2,)), CAMERA))
    plain, moving = Loader(corpus, 8, 3), Loader(corpus, 8, 3, random_shift=2)
    assert moving.identity == plain.identity
    for step in (0, 5):
        one, other = plain.batch(step), moving.batch(step)
        assert torch.equal(one.observation, other.observation)
        expected = shifted(one.pixels["camera"].numpy(), 2, int(plain.identity[:32], 16), step)
        np.testing.assert_array_equal(other.pixels["camera"], expected)
        assert torch.equal(other.pixels["camera"], moving.batch(step).pixels["camera"])
    with pytest.raises(ConfigError, match="random_shift: -1 is below 0"):
        Loader(corpus, 8, 3, random_shift=-1)
