import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lawm_models.networks.actor_critic import lambda_return

GAMMA = 0.9


def draw(length: int, num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(length, num)), generator.normal(size=(length, num))


def n_step(reward: np.ndarray, value: np.ndarray, rate: np.ndarray, t: int, n: int) -> float:
    """n rewards from step t, then the value of the state reached, each while it still goes on."""
    total = sum(rate[t : t + k].prod() * reward[t + k] for k in range(n))
    return total + rate[t : t + n].prod() * value[t + n - 1]


def mixture(
    reward: np.ndarray, value: np.ndarray, rate: np.ndarray, t: int, lambda_: float
) -> float:
    """The definition: n-step returns weighted by (1 − λ) λ^(n−1), the rest on the longest."""
    longest = len(reward) - t
    steps = [n_step(reward, value, rate, t, n) for n in range(1, longest + 1)]
    total = sum((1 - lambda_) * lambda_ ** (n - 1) * g for n, g in enumerate(steps[:-1], 1))
    return total + lambda_ ** (longest - 1) * steps[-1]


@given(st.integers(1, 7), st.integers(1, 3), st.floats(0, 1), st.integers(0, 1000))
def test_mixture_of_n_step_returns(length, num, lambda_, seed):
    reward, value = draw(length, num, seed)
    result = lambda_return(torch.from_numpy(reward), torch.from_numpy(value), GAMMA, lambda_)
    rate = np.full(length, GAMMA)
    for t in range(length):
        for i in range(num):
            expected = mixture(reward[:, i], value[:, i], rate, t, lambda_)
            assert result[t, i].item() == pytest.approx(expected, abs=1e-9)


@given(st.integers(1, 7), st.integers(1, 3), st.floats(0, 1), st.integers(0, 1000))
def test_an_end_cuts_what_comes_after_it(length, num, lambda_, seed):
    """γ c_{t+1} discounts what follows step t, c in [0, 1] and sometimes 0."""
    reward, value = draw(length, num, seed)
    rate = GAMMA * np.random.default_rng(seed).uniform(-0.3, 1, (length, num)).clip(0)
    tensors = [torch.from_numpy(x) for x in (reward, value, rate)]
    result = lambda_return(*tensors, lambda_)
    for t in range(length):
        for i in range(num):
            expected = mixture(reward[:, i], value[:, i], rate[:, i], t, lambda_)
            assert result[t, i].item() == pytest.approx(expected, abs=1e-9)


def test_lambda_one_is_monte_carlo():
    reward, value = draw(6, 1, 0)
    result = lambda_return(torch.from_numpy(reward), torch.from_numpy(value), GAMMA, 1.0)
    for t in range(6):
        expected = sum(GAMMA ** (k - t) * reward[k, 0] for k in range(t, 6))
        expected += GAMMA ** (6 - t) * value[-1, 0]
        assert result[t, 0].item() == pytest.approx(expected)


def test_lambda_zero_is_one_step():
    reward, value = draw(6, 1, 1)
    result = lambda_return(torch.from_numpy(reward), torch.from_numpy(value), GAMMA, 0.0)
    np.testing.assert_allclose(result.numpy(), reward + GAMMA * value, rtol=1e-12)
