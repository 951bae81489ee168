"""Densities of the decoded action against integrals, autograd and torch; the action's SNR."""

import math

import pytest
import torch

from lawm_models.networks.latent_action import LARGEST, RATE, REACH, ActionDensities, ActionSnr

NAMES = ["normal", "learned_normal", "tanh_normal"]
STD = 0.4


def params_of(name, *shape):
    densities = ActionDensities(name, STD)
    generator = torch.Generator().manual_seed(0)
    width = densities.outputs * shape[-1]
    draws = torch.randn(*shape[:-1], width, generator=generator, dtype=torch.float64)
    return densities, draws


@pytest.mark.parametrize("name", NAMES)
def test_density_integrates_to_one(name):
    densities, params = params_of(name, 3, 1)
    # finer where a squashed density piles up; what is beyond LARGEST is not resolved
    x = torch.tanh(torch.linspace(-5, 5, 200_001, dtype=torch.float64))
    x = x[x.abs() < LARGEST] if name == "tanh_normal" else torch.linspace(-9, 9, 200_001).double()
    for row in params / 2:
        density = densities.read(row.expand(len(x), -1))
        total = torch.trapezoid(density.log_prob(x[:, None]).exp(), x)
        assert total.item() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_of_the_density(name):
    densities, params = params_of(name, 2)
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(1)).double()
    density = densities.read(params.expand(len(noise), -1))
    samples = density.sample(noise)
    torch.testing.assert_close(samples.median(0).values, density.mean[0], atol=0.01, rtol=0)
    if name == "tanh_normal":
        assert (samples.abs() < 1).all()
        small = density._replace(std=0.01 * density.std)
        torch.testing.assert_close(small.sample(noise).std(0), small.spread[0], rtol=0.02, atol=0)
    else:
        spread = torch.as_tensor(density.spread).double().expand(len(noise), 2)[0]
        torch.testing.assert_close(samples.std(0), spread, rtol=0.02, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_without_noise_it_is_the_mean(name):
    densities, params = params_of(name, 4, 3)
    density = densities.read(params)
    assert torch.equal(density.sample(None), density.mean)
    assert torch.equal(density.sample(torch.zeros(4, 3).double()), density.mean)
    assert torch.equal(density.mean, torch.tanh(params[..., :3]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noisy", [True, False])
def test_slopes_are_those_of_autograd(name, noisy):
    densities, params = params_of(name, 2, 5, 3)
    noise = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1)).double()
    noise = noise if noisy else None
    params.requires_grad_()
    total = densities.read(params).sample(noise).sum()
    (wanted,) = torch.autograd.grad(total, params)
    torch.testing.assert_close(densities.slopes(params.detach(), noise), wanted)


def test_learned_width_starts_at_the_fixed_one_and_is_bounded():
    densities = ActionDensities("learned_normal", STD)
    widths = torch.tensor([[0.0, -1e4], [0.0, 0.0], [0.0, 1e4]]).double()
    low, middle, high = densities.read(widths).std.squeeze(-1).tolist()
    assert middle == pytest.approx(STD)
    assert low == pytest.approx(STD / math.exp(REACH))
    assert high == pytest.approx(STD * math.exp(REACH))


def test_actions_at_the_bounds_have_a_density():
    densities, params = params_of("tanh_normal", 2)
    ends = torch.tensor([[-1.0, 1.0], [1.0, -1.0]]).double()
    assert densities.read(params).log_prob(ends).isfinite().all()


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
