"""Vectors on their scale: what is encoded, what is reconstructed, and what is refused."""

import math

import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, Provenance, Role

from lawm_data import CorpusWriter, make_mask, open_corpus
from lawm_models.networks.encoders import vectors
from lawm_models.networks.encoders._protocol import Observation, Sizes

ARRAYS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="camera", shape=(4, 4, 3), dtype="uint8", role=Role.pixels),
    ArraySpec(name="speed", shape=()),
)
SIZES = Sizes(embed=7, units=5, layers=2)


def state(*shape):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(0)) * 10


@pytest.fixture
def corpus(tmp_path):
    """Four trajectories of one observation array, of which a mask shows the actions of two."""
    draws, path = np.random.default_rng(0), tmp_path / "corpus"
    action = ArraySpec(name="action", shape=(1,), role=Role.action, low=(-1.0,), high=(1.0,))
    with CorpusWriter.create(
        path, observations=(ArraySpec(name="x", shape=(3,)),), action=action
    ) as writer:
        for number in range(4):
            writer.add(
                {"x": draws.normal(number, 2, (6, 3)).astype(np.float32)},
                rewards=np.zeros(5, np.float32),
                actions=np.zeros((5, 1), np.float32),
                provenance=Provenance(source="test"),
            )
    whole = open_corpus(path)
    return whole.with_mask(make_mask(whole, 0.5, seed=0, name="half"))


@pytest.mark.parametrize("scale", ["symlog", "raw", "standard"])
def test_without_sizes_it_is_the_scaled_vector(scale):
    encoder = vectors.Encoder(vectors.Config(scale=scale), ARRAYS)
    assert (encoder.dim, encoder.target_dim) == (3, 3)
    assert not list(encoder.parameters())
    x = state(4, 6)
    expected = torch.sign(x) * torch.log(1 + x.abs()) if scale == "symlog" else x
    torch.testing.assert_close(encoder(Observation(x)), expected)  # nothing is fitted yet
    assert torch.equal(encoder.target(Observation(x)), encoder(Observation(x)))


def test_with_sizes_an_mlp_reads_what_is_reconstructed():
    encoder = vectors.Encoder(vectors.Config(), ARRAYS, SIZES)
    assert (encoder.dim, encoder.target_dim) == (7, 3)
    seen = Observation(state(4, 6))
    net = torch.nn.Sequential(*encoder.hidden, encoder.out)
    torch.testing.assert_close(encoder(seen), net(encoder.target(seen)))
    assert encoder(seen).shape == (4, 6, 7)
    # the names by which checkpoints know it
    assert {name.partition(".")[0] for name in encoder.state_dict()} == {"hidden", "out"}


@pytest.mark.parametrize("labeled", [True, False])
def test_standard_takes_out_mean_and_deviation_of_the_data(corpus, labeled):
    """Of the observations that an action was taken at: all but the last ones."""
    encoder = vectors.Encoder(vectors.Config(scale="standard"), ARRAYS)
    encoder.fit([corpus], labeled)
    rows = np.concatenate(
        [t.observations.state[:-1] for t in corpus if t.actions is not None or not labeled]
    )
    assert len(rows) == (10 if labeled else 20)
    scaled = encoder(Observation(torch.from_numpy(rows))).numpy()
    np.testing.assert_allclose(scaled, (rows - rows.mean(0)) / (rows.std(0) + 1e-3), rtol=1e-4)
    other = vectors.Encoder(vectors.Config(scale="standard"), ARRAYS)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other.normalizer.mean, encoder.normalizer.mean)


@pytest.mark.parametrize("scale", ["symlog", "raw"])
def test_other_scales_read_no_data(corpus, scale):
    encoder = vectors.Encoder(vectors.Config(scale=scale), ARRAYS)
    encoder.fit([corpus])
    assert not encoder.state_dict()


def test_decoder_is_a_gaussian_of_one_width_over_the_target():
    decoder = vectors.Decoder(vectors.Config(), ARRAYS, 9, SIZES, std=0.5)
    mean, target = decoder(torch.randn(4, 6, 9)), state(4, 6)
    assert mean.shape == target.shape
    z = (target[1, 2] - mean[1, 2]) / 0.5
    expected = sum(-0.5 * v**2 - math.log(0.5 * math.sqrt(2 * math.pi)) for v in z.tolist())
    assert decoder.log_prob(mean, target)[1, 2].item() == pytest.approx(expected, rel=1e-5)


def test_pixels_alone_are_refused():
    with pytest.raises(ConfigError, match="pixels only; record a state beside them"):
        vectors.Encoder(vectors.Config(), ARRAYS[1:2])
