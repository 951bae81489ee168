"""TD3+BC as an algorithm: what it reads, on which scale; its equations are in test_td3_bc there."""

import numpy as np
import pytest
import torch

from lawm_models.algorithms import idm_td3_bc, td3_bc
from lawm_models.networks.encoders import vectors
from lawm_models.networks.encoders._protocol import Observation


@pytest.fixture
def algorithm(spec):
    torch.manual_seed(0)
    return td3_bc.Algorithm(td3_bc.Config(units=4), spec)


def test_observations_are_on_the_scale_of_the_labeled_steps(algorithm, random_view):
    algorithm.prepare([random_view])
    rows = np.concatenate([t.observations.state[:-1] for t in random_view if t.actions is not None])
    seen = algorithm.encoder(Observation(torch.from_numpy(rows)))
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(seen.std(0), 1, atol=1e-2)


def test_the_encoder_is_a_setting(spec, make_batch):
    """On another scale than its own it is the same algorithm on other numbers."""
    batch, metrics = make_batch("all"), []
    for scale in ("standard", "raw", "symlog"):
        torch.manual_seed(0)
        config = td3_bc.Config(units=4, encoder=vectors.Config(scale=scale))
        algorithm = td3_bc.Algorithm(config, spec)
        metrics.append(algorithm.update("agent", batch, torch.Generator().manual_seed(0)))
    assert metrics[0] == metrics[1]  # nothing has been fitted
    assert metrics[1] != metrics[2]


@pytest.mark.parametrize("module", [td3_bc, idm_td3_bc])
def test_weights_of_before_encoders_are_understood(module, spec):
    """Mean and deviation were saved as ``normalizer.mean`` and ``normalizer.std``."""
    first, second = (module.Algorithm(module.Config(), spec) for _ in range(2))
    first.encoder.normalizer.fit([np.random.default_rng(0).normal(3, 2, (50, 3))])
    state = first.state_dict()
    old = {name.replace("encoder.normalizer.", "normalizer."): x for name, x in state.items()}
    assert old.keys() != state.keys()
    second.load_state_dict(old)
    assert all(torch.equal(x, state[name]) for name, x in second.state_dict().items())
    assert second.encoder.normalizer.mean.mean() > 2
