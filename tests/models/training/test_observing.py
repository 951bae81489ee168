"""Which words observe pixels, and the encoder that reads them."""

import pytest

from lawm_models.algorithms import lawm
from lawm_models.training.observing import observes_pixels, with_pixel_encoder


@pytest.mark.parametrize(
    ("observe", "pixels"),
    [
        ("state", False),
        ("pixels", True),
        ("pixels:front", True),
        ("state + pixels", True),
        ("state+features:pixels", False),
    ],
)
def test_words_for_pixels(observe, pixels):
    assert observes_pixels(observe) == pixels


def test_encoders_of_vectors_give_way_to_those_of_pixels():
    before = lawm.Config()
    after = with_pixel_encoder(before)
    assert (before.model.encoder.name, after.model.encoder.name) == ("vectors", "pixels")
    assert with_pixel_encoder(after) == after
    assert after.agent == before.agent
