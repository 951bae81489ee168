"""Between the environment's action units and [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ActionScale(nn.Module):
    """Affine map between bounds and [-1, 1]; has no parameters.

    Args:
        low: lower bounds, A numbers.
        high: upper bounds, A numbers.
    """

    center: Tensor
    half_range: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, low: Sequence[float], high: Sequence[float]) -> None:
        super().__init__()
        lower, upper = torch.tensor(low), torch.tensor(high)
        self.register_buffer("low", lower, persistent=False)
        self.register_buffer("high", upper, persistent=False)
        self.register_buffer("center", (lower + upper) / 2, persistent=False)
        half = (upper - lower) / 2
        # an action that cannot change is 0 on the scale of the model
        self.register_buffer("half_range", half.where(half > 0, 1.0), persistent=False)

    def to_model(self, action: Float[Tensor, "*b A"]) -> Float[Tensor, "*b A"]:
        """Environment units to [-1, 1]."""
        return (action - self.center) / self.half_range

    def to_environment(self, action: Float[Tensor, "*b A"]) -> Float[Tensor, "*b A"]:
        """[-1, 1] to environment units, within the bounds."""
        # clamped in these units: -1 · half_range + center may round to less than low
        return (action * self.half_range + self.center).clamp(self.low, self.high)
