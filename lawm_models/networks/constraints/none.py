"""No constraint: a latent action may copy the next observation; how far it does is the anchor."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from lawm_models.networks.constraints import _protocol
from lawm_models.networks.constraints._protocol import Constrained, ConstraintConfig
from lawm_models.networks.world_model import Generators


class Config(ConstraintConfig):
    """Settings of ``none``."""

    # narrower than its parent's, which is sound: settings do not change
    name: Literal["none"] = "none"  # pyright: ignore[reportIncompatibleVariableOverride]
    """This constraint."""


class Constraint(_protocol.Sampled):
    """z = h."""

    def forward(
        self,
        hidden: Float[Tensor, "*m N D"],
        weight: Float[Tensor, "*m N"],
        generator: Generators | None,
    ) -> Constrained:
        """See the protocol."""
        self.remembered.add(hidden, weight)
        return Constrained(hidden, torch.zeros_like(weight[..., 0]), {})
