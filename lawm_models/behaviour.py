"""Staying near good behaviour: what a policy would do against what was done, where that was better.

A world model is wrong where its data end, and a policy that is trained in it alone finds out where.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def behaviour_loss(
    chosen: Float[Tensor, "B T A"],
    taken: Float[Tensor, "B T A"],
    advantage: Float[Tensor, "B T"],
    valid: Bool[Tensor, "B T"],
    variance: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Mean squared distance of actions over the real steps whose advantage is positive.

    The steps are those that Critic Regularized Regression clones (Wang et al. 2020, its binary
    filter), the distance is TD3+BC's (Fujimoto and Gu 2021). It is told in units of the variance
    that actions have where the state is the same, so that one weight serves data of one policy and
    of exploration.

    Args:
        chosen: actions of the policy, normalised.
        taken: actions in the data, known or inferred.
        advantage: of the actions taken over the policy.
        valid: real steps.
        variance: mean variance of one action dimension in one state; see ``spread``.

    Returns:
        A scalar, zero where no step counts; its gradient is the policy's.
    """
    counts = (valid & (advantage > 0)).to(chosen.dtype)
    distance = (chosen - taken).square().mean(-1)
    return (counts * distance).sum() / counts.sum().clamp(min=1) / variance.clamp(min=1e-4)


def spread(one: Float[Tensor, "B T A"], other: Float[Tensor, "B T A"]) -> Float[Tensor, ""]:
    """Mean variance of an action dimension in one state, from two independent draws in each."""
    return 0.5 * (one - other).square().mean()


def one_step_advantage(
    reward: Float[Tensor, "B T"], value: Float[Tensor, "B T+1"], discount: float
) -> Float[Tensor, "B T"]:
    """r_t + γ V(s_{t+1}) − V(s_t), of the action that was taken; like dreams, it knows no end."""
    return reward + discount * value[:, 1:] - value[:, :-1]
