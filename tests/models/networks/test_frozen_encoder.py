"""A frozen encoder is the same one after a journey through its files, or is refused."""

import json

import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, FeatureSet, Role

from lawm_models.networks.encoders import pixels
from lawm_models.networks.encoders._protocol import Observation, Sizes
from lawm_models.networks.frozen_encoder import FrozenEncoder, read

CAMERA = ArraySpec(name="pixels", shape=(16, 16, 3), dtype="uint8", role=Role.pixels)
SIZES = Sizes(embed=5, units=8, layers=1)


@pytest.fixture
def frozen() -> FrozenEncoder:
    torch.manual_seed(0)
    encoder = FrozenEncoder(pixels.Config(depth=2), [CAMERA], SIZES)
    encoder.mean += torch.randn(encoder.dim)
    encoder.scale *= 3
    return encoder


@pytest.fixture
def info(frozen: FrozenEncoder) -> FeatureSet:
    return FeatureSet(
        name="ae",
        corpus="of pictures",
        width=frozen.dim,
        observations=(CAMERA,),
        encoder=json.loads(json.dumps(frozen.facts())),
        encoder_sha256="0" * 64,
        model="of a run",
        algorithm="autoencoder",
        created="2026-01-01T00:00:00",
        trajectories=1,
        sha256="0" * 64,
    )


def seen(count: int) -> Observation:
    images = torch.randint(0, 256, (count, 16, 16, 3), dtype=torch.uint8)
    return Observation(torch.zeros(count, 0), {"pixels": images})


def test_it_is_read_back_bit_for_bit_and_learns_no_more(
    frozen: FrozenEncoder, info: FeatureSet
) -> None:
    again, observation = read(info, frozen.to_bytes(), "there"), seen(3)
    assert torch.equal(again(observation), frozen(observation))
    expected = (frozen.encoder(observation) - frozen.mean) / 3
    torch.testing.assert_close(again(observation), expected)
    assert not any(weight.requires_grad for weight in again.parameters())
    assert not again(observation).requires_grad


def test_what_does_not_fit_is_refused_in_one_line(frozen: FrozenEncoder, info: FeatureSet) -> None:
    weights = frozen.to_bytes()
    other = FrozenEncoder(pixels.Config(depth=4), [CAMERA], SIZES).to_bytes()
    for bad in (weights[:-1], b"", other):
        with pytest.raises(ConfigError, match=r"the weights do not fit the encoder") as raised:
            read(info, bad, "there")
        assert "\n" not in str(raised.value)
    wide = info.model_copy(update={"width": 6})
    with pytest.raises(ConfigError, match=r"makes 5 numbers and the features have 6"):
        read(wide, weights, "there")
    with pytest.raises(ConfigError, match=r"say nothing of their encoder"):
        read(info.model_copy(update={"encoder": {}}), weights, "there")
