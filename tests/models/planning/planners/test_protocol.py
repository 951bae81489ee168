"""What every planner does: it finds optima that are known by other means."""

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError

from lawm_models.planning.planners import PLANNERS

NAMES = PLANNERS.names()


def found(name: str, cost, environments: int, steps: int, size: int, seed: int = 0, **settings):
    """The plan of a planner that knows nothing before."""
    module = PLANNERS.load(name)
    planner = module.Planner(module.Config(**{"samples": 300, "iterations": 12, **settings}))
    begin = torch.zeros(environments, planner.kept, steps, size, dtype=torch.float64)
    return planner.search(cost, begin, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_a_minimum_within_the_bounds_for_each_environment(name: str) -> None:
    draws = np.random.default_rng(0)
    target = torch.from_numpy(draws.uniform(-1.5, 1.5, (4, 1, 3, 2)))
    plan = found(name, lambda x: (x - target).square().sum((2, 3)), 4, 3, 2).plan
    assert plan.shape == (4, 3, 2)
    assert plan.abs().max() <= 1
    torch.testing.assert_close(plan, target[:, 0].clamp(-1, 1), atol=0.15, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_it_steers_a_linear_system_as_the_riccati_equation_does(name: str) -> None:
    a, b, steps, weight = np.array([[1.0, 0.3], [0.0, 1.0]]), np.array([[0.0], [0.5]]), 6, 0.1
    start = np.array([0.6, -0.2])
    value = np.zeros((2, 2))  # of the state after the last step
    for _ in range(steps):
        q = np.eye(2) + value
        gain = np.linalg.solve(weight * np.eye(1) + b.T @ q @ b, b.T @ q @ a)
        value = a.T @ q @ (a - b @ gain)
    least = start @ value @ start

    def cost(tried):
        state, total = torch.tensor(start), 0.0
        for choice in tried.unbind(2):
            state = state @ torch.from_numpy(a).T + choice @ torch.from_numpy(b).T
            total = total + state.square().sum(-1) + weight * choice.square().sum(-1)
        return total

    plan = found(name, cost, 1, steps, 1).plan
    assert least <= float(cost(plan[:, None])) <= 1.05 * least


@pytest.mark.parametrize("name", NAMES)
def test_units_and_offsets_of_the_cost_do_not_matter(name: str) -> None:
    def cost(x):
        return (x - 0.3).square().sum((2, 3))

    plain = found(name, cost, 2, 3, 1)
    other = found(name, lambda x: 1e4 * cost(x) - 7, 2, 3, 1)
    torch.testing.assert_close(plain.plan, other.plan)
    torch.testing.assert_close(plain.kept, other.kept)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_everything(name: str) -> None:
    def cost(x):
        return (x - 0.3).square().sum((2, 3))

    one, same, other = (found(name, cost, 1, 3, 2, seed).plan for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_costs_that_are_no_numbers_are_the_worst(name: str, bad: float) -> None:
    def cost(x):
        return (x - 1).square().sum((2, 3)).where(x[..., 0, 0] < 0.2, bad)

    plan = found(name, cost, 1, 1, 1).plan
    assert -0.2 < float(plan) < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_where_no_cost_is_a_number_the_plan_still_is(name: str) -> None:
    plan = found(name, lambda x: torch.full(x.shape[:2], torch.nan), 1, 2, 1).plan
    assert plan.isfinite().all()


def test_unknown_planners_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no planner 'cme'.*nearest: cem"):
        PLANNERS.load("cme")


@pytest.mark.parametrize("name", ["cem", "icem"])
def test_more_elites_than_samples_are_refused(name: str) -> None:
    module = PLANNERS.load(name)
    with pytest.raises(ConfigError, match=r"elites: 20 are more than the 10 samples"):
        module.Planner(module.Config(samples=10, elites=20))
