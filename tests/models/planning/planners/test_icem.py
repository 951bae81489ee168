"""What iCEM has beyond CEM: fewer samples in time, and elites that are never lost."""

import pytest
import torch

from lawm_models.planning.planners import icem


def test_it_tries_fewer_in_time_and_the_best_ones_again() -> None:
    planner = icem.Planner(icem.Config(samples=100, iterations=5, elites=20, shrink=1.5, keep=0.25))
    sizes, plans = [], []

    def cost(tried):
        sizes.append(tried.shape[1])
        plans.append(tried)
        return (tried - 0.4).square().sum((2, 3))

    begin = torch.zeros(1, planner.kept, 4, 1, dtype=torch.float64)
    found = planner.search(cost, begin, torch.Generator().manual_seed(0))
    # 100 / 1.5^i, two an elite at least; the guess and five elites; and the mean in the end
    assert sizes == [100 + 6, 67 + 5, 44 + 5, 40 + 5, 40 + 5 + 1]
    assert found.kept.shape == (1, 6, 4, 1)
    best = min(float((x - 0.4).square().sum((2, 3)).min()) for x in plans)
    assert float((found.plan - 0.4).square().sum()) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(3))
def test_a_search_never_ends_worse_than_it_began(seed: int) -> None:
    planner = icem.Planner(icem.Config(samples=20, elites=5, iterations=2))
    target = torch.full((2, 1, 5, 2), 0.3, dtype=torch.float64)

    def cost(tried):
        return (tried - target).square().sum((2, 3))

    begin = (target + 0.01).expand(2, planner.kept, 5, 2)
    found = planner.search(cost, begin, torch.Generator().manual_seed(seed))
    assert (cost(found.plan[:, None]) <= cost(begin[:, :1])).all()
