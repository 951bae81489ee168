"""How much a state tells of the action that the data take in it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

RATE = 0.02
"""Share of a new batch in the running variances."""


class ActionSnr(nn.Module):
    """Running signal-to-noise ratio Var_s(E[a|s]) / E_s[Var(a|s)] of actions, over all dimensions.

    High where policies made the data, as a state then tells the action; about 1 or less in data of
    exploration, whose actions are mostly chance. Without bound: where actions are no chance at all,
    nothing is known of others. A batch of N states underestimates the numerator by 1/N of it.
    """

    variances: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Both begin at zero and have the same share of it, which the ratio does not see.
        self.register_buffer("variances", torch.zeros(2))

    @torch.no_grad()
    def update(self, one: Float[Tensor, "N A"], other: Float[Tensor, "N A"]) -> Float[Tensor, ""]:
        """The ratio, after two independent draws of the action in each of N ≥ 2 states."""
        between = ((one - one.mean(0)) * (other - other.mean(0))).mean(0).sum()
        within = 0.5 * (one - other).square().mean(0).sum()
        self.variances.lerp_(torch.stack((between, within)), RATE)
        signal, noise = self.variances
        return signal.clamp(min=0) / noise.clamp(min=1e-8)
