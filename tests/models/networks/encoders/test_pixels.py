"""Pictures through a convolution net and back."""

import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_models.networks.encoders import pixels
from lawm_models.networks.encoders._protocol import Observation, Sizes

SIZES = Sizes(embed=5, units=8, layers=1)
STATE = ArraySpec(name="state", shape=(3,))


def camera(name="pixels", shape=(16, 32, 3), dtype="uint8"):
    return ArraySpec(name=name, shape=shape, dtype=dtype, role=Role.pixels)


def seen(*specs, size=(4,)):
    generator = torch.Generator().manual_seed(0)
    images = {
        s.name: torch.randint(0, 256, (*size, *s.shape), dtype=torch.uint8, generator=generator)
        for s in specs
        if s.role is Role.pixels
    }
    width = sum(s.size for s in specs if s.role is Role.state)
    return Observation(torch.randn(*size, width, generator=generator), images)


def test_the_target_is_every_pixel_and_the_state():
    observation = seen(camera(), STATE)
    encoder = pixels.Encoder(pixels.Config(), (camera(), STATE), SIZES)
    target = encoder.target(observation)
    images = (target[:, :-3] + 0.5) * 255
    torch.testing.assert_close(images, observation.pixels["pixels"].flatten(1).float())
    assert encoder.target_dim == target.shape[1] == 16 * 32 * 3 + 3


def test_what_a_policy_gets_is_split_into_its_fields():
    """Fields in the order of the corpus, whatever their roles."""
    specs = (camera("left"), STATE, camera("right"))
    encoder, observation = pixels.Encoder(pixels.Config(), specs, SIZES), seen(*specs)
    parts = {"state": observation.state, **observation.pixels}
    flat = torch.cat([parts[spec.name].flatten(1).float() for spec in specs], 1)
    torch.testing.assert_close(encoder(encoder.split(flat)), encoder(observation))


def test_every_camera_and_the_state_reach_the_embedding():
    specs = (camera("left"), camera("right"), STATE)
    for sizes in (SIZES, None):
        encoder, observation = pixels.Encoder(pixels.Config(depth=2), specs, sizes), seen(*specs)
        before = encoder(observation)
        for name in ("left", "right"):
            other = {**observation.pixels, name: 255 - observation.pixels[name]}
            assert not torch.equal(encoder(observation._replace(pixels=other)), before)
        assert not torch.equal(encoder(observation._replace(state=1 + observation.state)), before)


def test_a_decoder_learns_pictures():
    """Where the embedding is the only way, four random pictures can be told apart."""
    torch.manual_seed(0)
    specs, observation = (camera(),), seen(camera())
    encoder = pixels.Encoder(pixels.Config(), specs, SIZES)
    decoder = pixels.Decoder(pixels.Config(), specs, 5, SIZES, std=1.0)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 3e-3)
    target, errors = encoder.target(observation), []
    for _ in range(150):
        mean = decoder(encoder(observation))
        errors.append((mean - target).square().mean().item())
        optimizer.zero_grad()
        (-decoder.log_prob(mean, target)).mean().backward()
        optimizer.step()
    assert errors[-1] < 0.2 * errors[0]


def test_densities_add_up():
    """That of all pixels, and that of the state with a width of its own."""
    specs, observation = (camera(), STATE), seen(camera(), STATE)
    target = pixels.Encoder(pixels.Config(), specs, SIZES).target(observation)
    decoder = pixels.Decoder(pixels.Config(pixel_std=0.5), specs, 6, SIZES, std=0.1)
    mean = torch.zeros_like(target)
    std = torch.cat([torch.full((16 * 32 * 3,), 0.5), torch.full((3,), 0.1)])
    expected = torch.distributions.Normal(mean, std).log_prob(target).sum(1)
    torch.testing.assert_close(decoder.log_prob(mean, target), expected)


@pytest.mark.parametrize(
    ("specs", "line"),
    [
        ((STATE,), "nothing is observed that has pixels"),
        ((camera(shape=(64, 65, 3)),), r"pixels \[64, 65, 3\]: is not a multiple of 16 pixels"),
        ((camera(shape=(8, 8, 3)),), r"\[8, 8, 3\]: is not a multiple of 16 pixels"),
        ((camera(dtype="uint16"),), "has pixels of 16 bits, and 8 are read"),
        ((camera(), camera("b", (16, 16, 3))), r"b \[16, 16, 3\]: is of another size than pixels"),
    ],
)
def test_pictures_that_cannot_be_read_are_named(specs, line):
    for make in (
        lambda: pixels.Encoder(pixels.Config(), specs, SIZES),
        lambda: pixels.Decoder(pixels.Config(), specs, 6, SIZES, std=1.0),
    ):
        with pytest.raises(ConfigError, match=line):
            make()


def test_any_number_of_channels():
    spec = camera(shape=(16, 16, 1))
    encoder = pixels.Encoder(pixels.Config(depth=2), (spec,), None)
    embedding = encoder(seen(spec, size=(2, 3)))
    assert embedding.shape == (2, 3, encoder.dim)
    assert np.isfinite(embedding.detach().numpy()).all()
