"""Samples of planners: their noise over time, and the order of their costs."""

import numpy as np
import pytest
import torch

from lawm_models.planning.planners._sampling import best, colored, drawn


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0, 3.5])
def test_coloured_noise_has_power_one_over_frequency(beta: float, steps: int) -> None:
    matrix = colored(beta, steps, torch.zeros(1, dtype=torch.float64)).numpy()
    covariance = matrix @ matrix.T
    np.testing.assert_allclose(np.diag(covariance), 1)
    wave = np.exp(-2j * np.pi * np.outer(np.arange(steps), np.arange(steps)) / steps)
    power = np.einsum("fi,ij,fj->f", wave, covariance, wave.conj()).real
    frequency = np.minimum(np.arange(steps), steps - np.arange(steps)).clip(min=1)
    np.testing.assert_allclose(power * frequency**beta, power[0])
    if beta == 0:
        np.testing.assert_allclose(matrix, np.eye(steps), atol=1e-12)


def test_samples_have_the_mean_and_deviation_that_are_asked_for() -> None:
    mean = torch.tensor([[[[0.1, -0.2]]], [[[0.0, 0.3]]]], dtype=torch.float64)
    std = torch.tensor([[[[0.05, 0.1]]], [[[0.1, 0.02]]]], dtype=torch.float64)
    tried = drawn(mean, std, 20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(tried.mean(1, keepdim=True), mean, atol=3e-3, rtol=0)
    torch.testing.assert_close(tried.std(1, keepdim=True), std, atol=3e-3, rtol=0)


def test_the_best_come_in_order() -> None:
    draws = np.random.default_rng(0)
    tried, cost = draws.normal(size=(3, 20, 2, 1)), draws.normal(size=(3, 20))
    chosen = best(torch.from_numpy(tried), torch.from_numpy(cost), 5).numpy()
    expected = np.stack([rows[np.argsort(c)[:5]] for rows, c in zip(tried, cost, strict=True)])
    np.testing.assert_array_equal(chosen, expected)
