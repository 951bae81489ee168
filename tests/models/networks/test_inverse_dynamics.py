"""The inverse dynamics model against a slow evaluation in float64, and its uncertainty."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from lawm_models.networks.distributions import Normal, TanhNormal
from lawm_models.networks.inverse_dynamics import InverseDynamics, InverseDynamicsConfig, contexts

CONFIG = InverseDynamicsConfig(units=4, layers=2, observations=3)


@pytest.fixture
def model(randomize):
    torch.manual_seed(0)
    model = InverseDynamics(CONFIG, 3, 2).double()
    randomize(model)
    return model


def flat(module):
    return np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])


def layer(x, weight, gain, shift):
    """Linear, LayerNorm, Swish."""
    x = weight @ x
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-5) * gain + shift
    return x / (1 + np.exp(-x))


def density(vector, context, kept):
    """Mean and log-std before the tanh, of one row; weights in the order of torch."""
    sizes, x, used = [CONFIG.observations * 3, CONFIG.units, CONFIG.units], context, 0

    def take(count):
        nonlocal used
        used += count
        return vector[used - count : used]

    for i, (before, after) in enumerate(pairwise(sizes)):
        weight = take(before * after).reshape(after, before)
        x = layer(x, weight, take(after), take(after)) * kept[i]
    out = take(4 * CONFIG.units).reshape(4, CONFIG.units) @ x + take(4)
    assert used == len(vector)
    return out[:2], -1.5 + 3.5 * np.tanh(out[2:] / 3.5)


def nll(mean, log_std, action):
    total = 0.0
    for m, s, a in zip(mean, np.exp(log_std), np.clip(action, -0.999, 0.999), strict=True):
        x = math.atanh(a)
        total += 0.5 * ((x - m) / s) ** 2 + math.log(s) + 0.5 * math.log(2 * math.pi)
        total += math.log(1 - a**2)
    return total


def test_density(model):
    draws = np.random.default_rng(0)
    context, action = draws.normal(size=(6, 9)), draws.uniform(-1, 1, (6, 2))
    action[0] = 1.0, -1.0  # at the bounds
    kept = model.draw_kept(6, torch.Generator().manual_seed(0))
    assert kept is not None
    result = model(torch.from_numpy(context), kept)
    actual = -result.log_prob(torch.from_numpy(action))
    for row in range(6):
        factors = [k[row].numpy() for k in kept]
        mean, log_std = density(flat(model), context[row], factors)
        np.testing.assert_allclose(result.mode()[row].detach().numpy(), np.tanh(mean), rtol=1e-10)
        assert actual[row].item() == pytest.approx(nll(mean, log_std, action[row]), rel=1e-10)


def test_dropout_keeps_the_mean(model):
    kept = model.draw_kept(20000, torch.Generator().manual_seed(0))
    assert len(kept) == CONFIG.layers
    assert set(kept[0].unique().tolist()) == {0.0, 1 / 0.9}
    assert kept[0].mean().item() == pytest.approx(1, abs=0.01)
    none = InverseDynamics(InverseDynamicsConfig(units=4, dropout=0.0), 3, 2)
    assert none.draw_kept(5, None) is None


@pytest.mark.parametrize("num", [2, 3, 5])
def test_contexts_end_with_the_next_observation(num):
    observation = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    result = contexts(observation, num).unflatten(2, (num, 3))
    assert result.shape == (2, 5, num, 3)
    for t in range(5):
        for k in range(num):
            source = t + 1 - (num - 1) + k
            expected = observation[:, source] if source >= 0 else torch.zeros(2, 3)
            assert torch.equal(result[:, t, k], expected)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.3), (0.7, 1.0), (-2.0, 0.5), (0.0, 3.0)])
def test_uncertainty_is_that_of_samples(model, mean, std):
    base = Normal(torch.tensor([mean]), torch.tensor([std]))
    samples = np.tanh(mean + std * np.random.default_rng(0).normal(size=200_000))
    stated = model.float().uncertainty(TanhNormal(base))
    assert stated.item() == pytest.approx(samples.std(), rel=0.02)


def test_uncertainty_is_never_zero(model):
    base = Normal(torch.full((2,), 20.0), torch.full((2,), 1e-3))
    assert (model.float().uncertainty(TanhNormal(base)) > 0).all()


def test_defaults_are_the_papers():
    """Table 3."""
    config = InverseDynamicsConfig()
    assert (config.units, config.layers, config.dropout) == (1024, 3, 0.1)
    assert (config.observations, config.learning_rate) == (5, 1e-4)
