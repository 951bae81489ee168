import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lawm_models.networks.distributions import (
    ClampedNormal,
    Normal,
    TanhNormal,
    kl,
    log_prob,
    log_prob_normal,
    split_normal,
)

means = st.floats(-5, 5)
stds = st.floats(0.05, 5)


def normal(mean, std) -> Normal:
    return Normal(
        torch.tensor(mean, dtype=torch.float64).reshape(-1),
        torch.tensor(std, dtype=torch.float64).reshape(-1),
    )


def log_density(mean: float, std: float, x: float) -> float:
    return -0.5 * ((x - mean) / std) ** 2 - math.log(std) - 0.5 * math.log(2 * math.pi)


@given(means, stds)
def test_kl_to_itself_is_zero(mean, std):
    p = normal(mean, std)
    assert kl(p, p).item() == 0


@given(means, stds, means, stds)
def test_kl_is_not_negative(mean_q, std_q, mean_p, std_p):
    assert kl(normal(mean_q, std_q), normal(mean_p, std_p)).item() >= -1e-12


@given(means, stds)
def test_kl_to_a_standard_normal(mean, std):
    q = normal(mean, std)
    expected = 0.5 * (q.std.square() + q.mean.square() - 1 - q.std.square().log()).sum(-1)
    torch.testing.assert_close(kl(q, normal(0.0, 1.0)), expected)


def test_kl_is_the_mean_log_ratio():
    q, p = normal([0.3, -1.0], [0.5, 1.5]), normal([-0.2, 0.4], [1.1, 0.9])
    draws = np.random.default_rng(0).standard_normal((40_000, 2))
    x = q.mean.numpy() + q.std.numpy() * draws
    ratio = np.zeros(len(x))
    for d in range(2):
        for density, sign in ((q, 1), (p, -1)):
            z = (x[:, d] - density.mean[d].item()) / density.std[d].item()
            ratio += sign * (-0.5 * z**2 - math.log(density.std[d].item()))
    error = ratio.std() / math.sqrt(len(ratio))
    assert kl(q, p).item() == pytest.approx(ratio.mean(), abs=4 * error)
    assert error < 0.02


@given(means, stds, means)
def test_log_prob_sums_over_the_last_axis(mean, std, x):
    value = torch.tensor([x, 0.5], dtype=torch.float64)
    p = normal([mean, 1.0], [std, std])
    expected = log_density(mean, std, x) + log_density(1.0, std, 0.5)
    assert log_prob_normal(p, value).item() == pytest.approx(expected)
    assert log_prob(p.mean, std, value).item() == pytest.approx(expected)


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.01, 1))
def test_split_normal_bounds_the_std(mean, raw, min_std):
    p = split_normal(torch.tensor([mean, raw], dtype=torch.float64), min_std)
    assert p.mean.item() == mean
    assert min_std <= p.std.item() <= 2 + min_std
    assert p.std.item() == pytest.approx(2 / (1 + math.exp(-raw / 2)) + min_std)


def test_split_normal_starts_near_one():
    assert split_normal(torch.zeros(4), 0.1).std.tolist() == pytest.approx([1.1, 1.1])


def test_tanh_density_is_the_change_of_variables():
    """−log π(y) = −log N(x) + log dy/dx, with the slope taken numerically."""
    base, step = normal([0.4], [0.7]), 1e-6
    for z in np.linspace(-2.5, 2.5, 11):
        x = 0.4 + 0.7 * z
        slope = (math.tanh(x + step) - math.tanh(x - step)) / (2 * step)
        sample = TanhNormal(base).draw(torch.tensor([z], dtype=torch.float64))
        assert sample.value.item() == pytest.approx(math.tanh(x))
        expected = -(log_density(0.4, 0.7, x) - math.log(slope))
        assert sample.entropy.item() == pytest.approx(expected, abs=1e-7)


def test_tanh_entropy_estimates_the_integral():
    """Its mean over draws is −∫ π log π dy, integrated on a grid of y."""
    mean, std = np.array([0.3, -0.8]), np.array([0.6, 1.2])
    y = np.linspace(-1, 1, 400_001)[1:-1]
    x = np.arctanh(y)
    exact = 0.0
    for m, s in zip(mean, std, strict=True):
        density = np.exp(-0.5 * ((x - m) / s) ** 2) / (s * math.sqrt(2 * math.pi) * (1 - y**2))
        assert np.trapezoid(density, y) == pytest.approx(1, abs=1e-3)
        exact -= np.trapezoid(density * np.log(density + 1e-300), y)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(20_000, 2, generator=generator, dtype=torch.float64)
    base = Normal(torch.tensor(mean).expand(20_000, 2), torch.tensor(std).expand(20_000, 2))
    estimate = TanhNormal(base).draw(noise).entropy
    error = estimate.std().item() / math.sqrt(len(estimate))
    assert estimate.mean().item() == pytest.approx(exact, abs=4 * error)
    assert error < 0.02


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(-6, 6))
def test_tanh_normal_is_bounded_and_finite(mean, raw, noise):
    policy = TanhNormal.from_params(torch.tensor([mean, raw]))
    sample = policy.draw(torch.tensor([noise]))
    assert math.exp(-5) * 0.999 <= policy.base.std.item() <= math.exp(2) * 1.001
    assert abs(sample.value.item()) <= 1
    assert abs(policy.mode().item()) <= 1
    assert math.isfinite(sample.entropy.item())


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(-6, 6))
def test_clamped_normal_is_bounded(mean, raw, noise):
    policy = ClampedNormal.from_params(torch.tensor([mean, raw]))
    sample = policy.draw(torch.tensor([noise]))
    assert abs(sample.value.item()) <= 1
    assert abs(policy.mode().item()) <= 1
    entropy = 0.5 * math.log(2 * math.pi * math.e) + math.log(policy.base.std.item())
    assert sample.entropy.item() == pytest.approx(entropy, rel=1e-5, abs=1e-6)


def test_clamped_normal_learns_at_the_bound():
    mean = torch.tensor([0.99], requires_grad=True)
    sample = ClampedNormal(Normal(mean, torch.ones(1))).draw(torch.tensor([3.0]))
    assert sample.value.item() == 1
    (gradient,) = torch.autograd.grad(sample.value, mean)
    assert gradient.item() == 1


def test_sample_is_reparametrised():
    mean, std = torch.tensor([1.0], requires_grad=True), torch.tensor([2.0], requires_grad=True)
    sample = Normal(mean, std).sample(torch.tensor([-0.5]))
    assert sample.item() == 0
    gradients = torch.autograd.grad(sample, (mean, std))
    assert [g.item() for g in gradients] == [1, -0.5]
    assert not Normal(mean, std).detach().sample(torch.tensor([1.0])).requires_grad
