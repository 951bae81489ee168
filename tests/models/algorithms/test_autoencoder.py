"""An autoencoder learns observations of few numbers, and its encoder can be frozen."""

import pytest
import torch
from lawm_schemas import ArraySpec

from lawm_data.batches.batch import Batch
from lawm_models.algorithms._protocol import ModelSpec
from lawm_models.algorithms.autoencoder import Algorithm, Config
from lawm_models.networks.encoders._protocol import Observation

WIDTH, SIZE, STEPS = 6, 8, 3


@pytest.fixture
def algorithm(spec):
    torch.manual_seed(0)
    observations = (ArraySpec(name="state", shape=(WIDTH,)),)
    config = Config(latent=2, units=16, learning_rate=3e-3, foreground=0.0)
    return Algorithm(config, ModelSpec(observations, spec.action))


def windows(seed):
    """Observations on a plane of two dimensions."""
    draws = torch.Generator().manual_seed(seed)
    plane = torch.linspace(-1, 1, 2 * WIDTH).view(2, WIDTH).sin()
    observation = torch.randn(SIZE, STEPS + 1, 2, generator=draws) @ plane
    yes = torch.ones(SIZE, STEPS, dtype=torch.bool)
    return Batch(
        observation=observation,
        action=torch.zeros(SIZE, STEPS, 2),
        action_mask=~yes,
        reward=torch.zeros(SIZE, STEPS),
        rewarded=torch.zeros(SIZE, dtype=torch.bool),
        terminated=~yes,
        valid=yes,
        unseen=~yes,
        labeled=torch.zeros(SIZE, dtype=torch.bool),
        trajectory=torch.arange(SIZE),
        start=torch.zeros(SIZE, dtype=torch.int64),
    )


def test_what_has_two_numbers_comes_back_from_two(algorithm):
    generator = torch.Generator().manual_seed(0)
    algorithm.begin("encoder")
    errors = [
        float(algorithm.update("encoder", windows(seed), generator)["squared_error"])
        for seed in range(400)
    ]
    assert sum(errors[-20:]) < 0.25 * sum(errors[:20])


def test_the_frozen_encoder_is_that_of_the_moment(algorithm):
    generator, seen = torch.Generator().manual_seed(0), Observation.of(windows(1))
    frozen = algorithm.frozen()
    before = algorithm.encoder(seen).detach()
    assert torch.equal(frozen(seen), before)
    algorithm.update("encoder", windows(0), generator)
    assert torch.equal(frozen(seen), before)
    assert not torch.equal(algorithm.encoder(seen), before)


def test_states_weigh_the_same_in_any_place(spec):
    """Only pixels weigh more the less they are like the median picture."""
    observations = (ArraySpec(name="state", shape=(WIDTH,)),)

    def loss(foreground: float) -> float:
        torch.manual_seed(0)
        config = Config(latent=2, units=16, foreground=foreground)
        made = Algorithm(config, ModelSpec(observations, spec.action))
        return float(made.update("encoder", windows(0), torch.Generator())["loss"])

    assert loss(20.0) == loss(0.0)
