"""The signal-to-noise ratio of actions."""

import pytest
import torch

from lawm_models.networks.latent_action import RATE, ActionSnr


def draws(generator, signal, noise, states=64, dims=3):
    """Two independent draws in every state; the signal's mean is not zero."""
    means = 5 + signal * torch.randn(states, dims, generator=generator)
    return (means + noise * torch.randn(states, dims, generator=generator) for _ in range(2))


@pytest.mark.parametrize(("signal", "noise"), [(2.0, 1.0), (0.3, 0.6), (1.0, 0.1)])
def test_it_is_the_ratio_of_the_variances(signal, noise):
    snr, generator = ActionSnr(), torch.Generator().manual_seed(0)
    found = [snr.update(*draws(generator, signal, noise)).item() for _ in range(600)]
    assert sum(found[100:]) / 500 == pytest.approx((signal / noise) ** 2, rel=0.1)


def test_the_first_ratio_is_that_of_the_first_batch():
    one, other = torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.5], [-1.5]])
    assert ActionSnr().update(one, other).item() == pytest.approx(1.5 / 0.125)


def test_older_batches_count_less():
    """Variances between and within states: 1.5 and 0.125, then 6 and 1."""
    snr = ActionSnr()
    snr.update(torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.5], [-1.5]]))
    found = snr.update(torch.tensor([[3.0], [-3.0]]), torch.tensor([[1.0], [-3.0]]))
    old = 1 - RATE
    assert found.item() == pytest.approx((old * 1.5 + 6) / (old * 0.125 + 1))


def test_pure_chance_is_zero_and_no_chance_is_finite():
    generator = torch.Generator().manual_seed(0)
    chance = ActionSnr()
    found = [chance.update(*draws(generator, 0.0, 1.0)).item() for _ in range(300)]
    assert min(found) >= 0
    assert found[-1] < 0.05
    alike = torch.randn(8, 2, generator=generator)
    assert torch.isfinite(ActionSnr().update(alike, alike))


def test_it_is_kept_with_the_model():
    snr, generator = ActionSnr(), torch.Generator().manual_seed(0)
    snr.update(*draws(generator, 1.0, 1.0))
    other = ActionSnr()
    other.load_state_dict(snr.state_dict())
    pair = tuple(draws(generator, 1.0, 1.0))
    assert torch.equal(snr.update(*pair), other.update(*pair))
