"""The behaviour term, against a loop in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lawm_models.behaviour import behaviour_loss, one_step_advantage, spread

B, T, A = 3, 5, 2


def draw(seed):
    generator = torch.Generator().manual_seed(seed)
    chosen, taken = torch.rand(2, B, T, A, generator=generator, dtype=torch.float64) * 2 - 1
    gain = torch.randn(B, T, generator=generator, dtype=torch.float64)
    valid = torch.rand(B, T, generator=generator) < 0.7
    return chosen, taken, gain, valid


@given(st.integers(0, 1000), st.floats(0.01, 2.0))
def test_loss_is_the_mean_over_better_real_steps(seed, variance):
    chosen, taken, gain, valid = draw(seed)
    total = count = 0.0
    for b in range(B):
        for t in range(T):
            if valid[b, t] and gain[b, t] > 0:
                count += 1
                total += np.mean((chosen[b, t].numpy() - taken[b, t].numpy()) ** 2)
    found = behaviour_loss(chosen, taken, gain, valid, torch.tensor(variance)).item()
    assert found == pytest.approx(total / max(count, 1) / variance)


def test_loss_pulls_the_policy_alone_and_only_where_it_counts():
    chosen, taken, gain, valid = draw(0)
    for each in (chosen, taken, gain):
        each.requires_grad_(True)
    gradients = torch.autograd.grad(
        behaviour_loss(chosen, taken.detach(), gain, valid, torch.tensor(0.5)),
        (chosen, gain),
        allow_unused=True,
    )
    assert gradients[0] is not None
    assert gradients[1] is None
    assert torch.equal(gradients[0].abs().sum(-1) > 0, valid & (gain > 0))


def test_nothing_better_is_nothing_to_stay_near():
    chosen, taken, gain, valid = draw(1)
    assert behaviour_loss(chosen, taken, -gain.abs(), valid, torch.tensor(0.5)) == 0


def test_spread_is_the_variance_within_states():
    generator = torch.Generator().manual_seed(0)
    centre = 10 * torch.randn(2000, 1, 4, generator=generator)
    one, other = centre + 0.3 * torch.randn(2, 2000, 1, 4, generator=generator)
    assert spread(one, other).item() == pytest.approx(0.09, rel=0.05)


def test_advantage():
    reward, value = torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 6.0, 7.0]])
    torch.testing.assert_close(one_step_advantage(reward, value, 0.5), torch.tensor([[-1.0, -0.5]]))
