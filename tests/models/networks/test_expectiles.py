"""The loss is least at the expectile: the point that its two sides pull at alike."""

import pytest
import torch

from lawm_models.networks.expectiles import asymmetry, expectile_loss


@pytest.mark.parametrize("expectile", [0.1, 0.5, 0.9])
def test_least_where_both_sides_pull_alike(expectile: float) -> None:
    found = torch.tensor([-3.0, 0.5, 1.0, 8.0], dtype=torch.float64)
    guess = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([guess], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        total = expectile_loss(found - guess, expectile).sum()
        total.backward()
        return total

    optimizer.step(loss)
    error = found - guess.detach()
    above, below = error[error > 0].sum(), -error[error < 0].sum()
    torch.testing.assert_close(expectile * above, (1 - expectile) * below, rtol=1e-6, atol=1e-9)


def test_half_is_the_square() -> None:
    error = torch.tensor([-2.0, 0.0, 3.0])
    assert torch.equal(expectile_loss(error, 0.5), error.square())
    assert torch.equal(asymmetry(error, 0.5), torch.ones(3))
