"""MPPI against the integral that it is named after."""

import math

import numpy as np
import torch

from lawm_models.planning.planners import mppi


def test_one_iteration_is_the_mean_of_the_tilted_normal() -> None:
    std, temperature, k = 0.15, 0.7, 3.0
    target = np.array([[0.2, -0.1], [0.05, 0.3]])
    # cost k/2 |x − x*|² of x ~ N(0, σ²): its variance, and the product of two Gaussians
    variance = (k**2 / 4) * (2 * std**4 + 4 * std**2 * target**2).sum()
    precision = k / (temperature * math.sqrt(variance))
    expected = precision * target / (1 / std**2 + precision)

    planner = mppi.Planner(
        mppi.Config(samples=200_000, iterations=1, std=std, temperature=temperature)
    )
    begin, goal = torch.zeros(1, 1, 2, 2, dtype=torch.float64), torch.from_numpy(target)
    found = planner.search(
        lambda x: k / 2 * (x - goal).square().sum((2, 3)), begin, torch.Generator().manual_seed(0)
    )
    np.testing.assert_allclose(found.plan[0].numpy(), expected, atol=0.004)


def test_equal_costs_leave_the_mean_where_the_samples_are() -> None:
    tried = torch.rand(2, 50, 3, 1, dtype=torch.float64)
    mean = mppi.weighed(tried, torch.ones(2, 50, dtype=torch.float64), 0.1)
    torch.testing.assert_close(mean, tried.mean(1, keepdim=True))
