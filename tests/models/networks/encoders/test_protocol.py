"""Encoders by name, and as a setting of a model."""

import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, Role, Schema

from lawm_models.networks.encoders import ENCODERS, vectors
from lawm_models.networks.encoders._protocol import EncoderChoice, Observation, Sizes
from lawm_models.networks.world_model import WorldModel, WorldModelConfig

ARRAYS = (
    ArraySpec(name="state", shape=(3,)),
    ArraySpec(name="camera", shape=(16, 32, 3), dtype="uint8", role=Role.pixels),
)


class Model(Schema):
    """Anything with an encoder."""

    encoder: EncoderChoice = vectors.Config()


@pytest.mark.parametrize("name", ENCODERS.names())
def test_every_encoder_comes_to_a_vector_and_back(name):
    parts = ENCODERS.load(name)
    config, sizes = parts.Config(), Sizes(embed=5, units=4, layers=1)
    assert config.name == name
    encoder = parts.Encoder(config, ARRAYS, sizes)
    decoder = parts.Decoder(config, ARRAYS, 6, sizes, std=0.5)
    for shape in ((4,), (4, 7)):
        images = torch.randint(0, 256, (*shape, 16, 32, 3), dtype=torch.uint8)
        seen = Observation(torch.randn(*shape, 3), {"camera": images})
        target = encoder.target(seen)
        assert encoder(seen).shape == (*shape, encoder.dim)
        assert target.shape == (*shape, encoder.target_dim)
        mean = decoder(torch.randn(*shape, 6))
        assert decoder.log_prob(mean, target).shape == shape
        assert (decoder.log_prob(target, target) >= decoder.log_prob(mean, target)).all()


@pytest.mark.parametrize("name", ENCODERS.names())
def test_every_encoder_survives_a_configuration_file(name):
    model = Model(encoder=ENCODERS.load(name).Config())
    again = Model.parse(model.model_dump(mode="json"), "test")
    assert again == model
    assert type(again.encoder) is ENCODERS.load(name).Config


def test_settings_stand_beside_the_name():
    assert Model.parse({"encoder": {"scale": "raw"}}, "test").encoder == vectors.Config(scale="raw")
    assert Model().model_dump()["encoder"] == {"name": "vectors", "scale": "symlog"}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (
            {"name": "ears"},
            r"^m: encoder: no encoder 'ears'; known ones: .*vectors; correct it$",
        ),
        (
            {"name": "vectors", "depth": 3},
            r"^m: encoder\.depth: Extra inputs.*; check its spelling$",
        ),
        ({"scale": "huge"}, r"^m: encoder\.scale: Input should be 'symlog', 'standard' or 'raw'"),
        ("vectors", r"^m: encoder: should be keys with values, not 'vectors'; correct it$"),
    ],
)
def test_mistakes_are_named(value, line):
    with pytest.raises(ConfigError, match=line):
        Model.parse({"encoder": value}, "m")


def test_another_package_brings_an_encoder(install):
    """Chosen by its name, with its settings, in any model; unknown settings are refused."""
    lines = (
        '"""Twice: vectors, but louder."""',
        "from typing import Literal",
        "from lawm_models.networks.encoders import EncoderConfig, vectors",
        "class Config(EncoderConfig):",
        "    name: Literal['twice'] = 'twice'",
        "    factor: float = 2.0",
        "    scale: Literal['raw'] = 'raw'",
        "class Encoder(vectors.Encoder):",
        "    def target(self, observation):",
        "        return self.config.factor * super().target(observation)",
        "Decoder = vectors.Decoder",
    )
    files = {"lab/__init__.py": "", "lab/twice.py": "\n".join(lines)}
    install("lab 1.0", files, {"lawm.encoders": {"twice": "lab.twice"}})
    config = WorldModelConfig.parse({"encoder": {"name": "twice", "factor": 3}}, "m")
    assert config.model_dump()["encoder"] == {"name": "twice", "factor": 3.0, "scale": "raw"}
    world, x = WorldModel(config, ARRAYS, action_dim=1), torch.randn(4, 3)
    torch.testing.assert_close(world.encoder.target(Observation(x)), 3 * x)
    with pytest.raises(ConfigError, match=r"^m: encoder\.loudness: Extra inputs"):
        WorldModelConfig.parse({"encoder": {"name": "twice", "loudness": 3}}, "m")
