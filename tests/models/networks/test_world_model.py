"""Weights and heads of the world model; its loss is in test_objective."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ConfigError

from lawm_models.networks.encoders import vectors
from lawm_models.networks.rssm import RSSMConfig
from lawm_models.networks.scan import fused, native, plain
from lawm_models.networks.world_model import (
    WorldModel,
    WorldModelConfig,
    standard_noise,
    state_weight,
    weighted_mean,
)

weights = st.lists(st.booleans(), min_size=1, max_size=8)


@given(weights, st.integers(0, 1000))
def test_weighted_mean_is_the_mean_of_what_counts(flags, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, len(flags), generator=generator, dtype=torch.float64)
    weight = torch.tensor([flags], dtype=torch.float64)
    chosen = [v for v, keep in zip(x[0].tolist(), flags, strict=True) if keep]
    expected = math.fsum(chosen) / len(chosen) if chosen else 0.0
    assert weighted_mean(x, weight).item() == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 6), st.integers(0, 6))
def test_real_states_are_one_more_than_real_steps(length, padding):
    valid = torch.tensor([[True] * length + [False] * padding])
    assert state_weight(valid).tolist() == [[1.0] * (length + 1) + [0.0] * padding]


def test_noise_follows_its_example():
    like = torch.zeros(1, dtype=torch.float64)
    first, again = (
        standard_noise(like, torch.Generator().manual_seed(0), 50, 40) for _ in range(2)
    )
    assert torch.equal(first, again)
    assert (first.dtype, first.shape) == (torch.float64, (50, 40))
    assert abs(first.mean().item()) < 0.1
    assert first.std().item() == pytest.approx(1, abs=0.1)


def test_reward_starts_at_zero(spec):
    config = WorldModelConfig(rssm=RSSMConfig(deter=3, stoch=2, hidden=4), embed=4, units=4)
    feature = torch.randn(4, 3, 5)
    reward = WorldModel(config, spec.observations, 1).reward(feature)
    assert reward.shape == (4, 3)
    assert not reward.any()


@pytest.mark.parametrize("labels", ["all", "none", "mixed"])
def test_all_scans_give_the_same_loss_and_gradient(problem, labels):
    settings = {"inverse_members": 2, "sample_decoded": True, "decoded_gradient": True}
    gradients = []
    for scan in ("native", "fused", "plain"):
        model, batch, noise = problem(labels, padded=True, scan=scan, **settings)
        assert model.world.scan is {"native": native, "fused": fused, "plain": plain}[scan]
        loss, _ = model.loss(batch, noise)
        parameters = list(model.parameters())
        found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        gradients.append((loss, *found))
    *others, plainly = gradients
    for found in others:
        torch.testing.assert_close(found, plainly, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("symlog", "scale"), [(True, "symlog"), (False, "raw")])
def test_configurations_of_before_encoders_are_understood(symlog, scale):
    """``symlog`` stood where ``encoder.scale`` does now."""
    config = WorldModelConfig.parse({"embed": 8, "symlog": symlog}, "config.yaml")
    assert config == WorldModelConfig(embed=8, encoder=vectors.Config(scale=scale))
    changed = {"symlog": symlog, "encoder": {"scale": "standard"}}  # by --set
    assert WorldModelConfig.parse(changed, "config.yaml").encoder.scale == "standard"
    with pytest.raises(ConfigError, match="symlog: Extra inputs"):
        WorldModelConfig.parse({"symlog": "often"}, "config.yaml")
