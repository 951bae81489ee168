"""λ-returns over imagined trajectories."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def lambda_return(
    reward: Float[Tensor, "L N"],
    value: Float[Tensor, "L N"],
    discount: float,
    lambda_: float,
) -> Float[Tensor, "L N"]:
    """R_t = r_t + γ [(1 − λ) v(s_{t+1}) + λ R_{t+1}] with R_L = v(s_L).

    Args:
        reward: reward of the step from s_t to s_{t+1}, t = 0 … L−1.
        value: value of the state it arrives at, v(s_{t+1}), t = 0 … L−1.
        discount: γ.
        lambda_: λ; 1 is the Monte-Carlo return with a bootstrap at the end, 0 is one step.
    """
    result = value[-1]
    returns = []
    for r, v in zip(reward.flip(0).unbind(0), value.flip(0).unbind(0), strict=True):
        result = r + discount * ((1 - lambda_) * v + lambda_ * result)
        returns.append(result)
    return torch.stack(returns[::-1])
