"""CEM against the truncated normal that its elites are drawn from."""

import math

import numpy as np
import torch

from lawm_models.planning.planners import cem


def test_two_iterations_down_a_slope_go_as_far_as_the_truncated_normal_says() -> None:
    std, samples, share = 0.1, 40_000, 0.1
    slope = np.array([[0.6, -0.3], [1.2, 0.0]])
    # elites of a linear cost are a normal along the slope, cut at its lowest tenth
    cut = -1.2815515655446004
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi) / share
    shrunk = 1 - cut * density - density**2
    unit = slope / np.linalg.norm(slope)
    first = -std * density * unit
    # the next samples are drawn with the variances of the single numbers
    variance = std**2 * (1 - unit**2 * (1 - shrunk))
    expected = first - density * variance * slope / math.sqrt((slope**2 * variance).sum())

    planner = cem.Planner(
        cem.Config(samples=samples, elites=int(share * samples), iterations=2, std=std)
    )
    begin = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    cost = torch.from_numpy(slope)
    found = planner.search(
        lambda x: (x * cost).sum((2, 3)), begin, torch.Generator().manual_seed(0)
    )
    np.testing.assert_allclose(found.plan[0].numpy(), expected, atol=0.006)
    assert torch.equal(found.kept[:, 0], found.plan)
