"""An inverse dynamics model: which action led from the observations before to the next one.

The baseline's, of the paper's Table 3; what that leaves open is as in SS-ORL (Zheng et al. 2023,
arXiv 2210.06518), whose code it follows: a tanh-Gaussian trained by likelihood on five
concatenated observations, o_{t−3} … o_{t+1}, with zeros before the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from lawm_schemas import Count, Schema, Size
from lawm_schemas.base import LARGEST
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lawm_models.networks.distributions import TanhNormal
from lawm_models.networks.layers import MLP

SMALLEST_STD = 1e-3
"""Smallest stated uncertainty, as a share of half the action range: targets are no finer."""
NODES = 32
"""Nodes of the quadrature."""


class InverseDynamicsConfig(Schema):
    """Sizes and step size; the defaults are the paper's (Table 3)."""

    units: Size = 1024
    """Hidden units."""
    layers: Count = 3
    """Hidden layers, each Linear, LayerNorm, Swish, dropout."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the hidden units that is dropped in training."""
    observations: int = Field(default=5, ge=2, le=LARGEST)
    """K, observations that it looks at, the last of them after the action."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Learning rate of Adam; Table 3 also says 3e-4."""
    held_out: float = Field(default=0.1, ge=0, lt=1)
    """Share of the labeled trajectories that choose the weights; at least one, if there are two."""
    validate_every: int = Field(default=1000, ge=1)
    """Gradient steps between two looks at them."""


class InverseDynamics(nn.Module):
    """p(a_t | o_{t−K+2} … o_{t+1}), a tanh-Gaussian over [-1, 1]^A.

    Args:
        config: sizes.
        embed_dim: E, width of an encoded observation.
        action_dim: A.
    """

    nodes: Tensor
    node_weight: Tensor

    def __init__(self, config: InverseDynamicsConfig, embed_dim: int, action_dim: int) -> None:
        super().__init__()
        self.config = config
        self.net = MLP(config.observations * embed_dim, 2 * action_dim, config.units, config.layers)
        nodes, weight = np.polynomial.hermite_e.hermegauss(NODES)
        self.register_buffer("nodes", torch.tensor(nodes).float(), persistent=False)
        weight = torch.tensor(weight / weight.sum()).float()
        self.register_buffer("node_weight", weight, persistent=False)

    def forward(
        self, context: Float[Tensor, "*b C"], kept: Sequence[Tensor] | None = None
    ) -> TanhNormal:
        """Density of the action.

        Args:
            context: see ``contexts``.
            kept: what every hidden layer is multiplied with (dropout), or none.
        """
        x = context
        for i, layer in enumerate(self.net.hidden):
            x = layer(x) if kept is None else layer(x) * kept[i]
        return TanhNormal.from_params(self.net.out(x))

    def draw_kept(self, rows: int, generator: torch.Generator | None) -> list[Tensor] | None:
        """Factors of dropout for ``forward``: 0, or 1 / (1 − dropout)."""
        config, like = self.config, self.net.out.weight
        if not config.dropout:
            return None
        keep = 1 - config.dropout
        return [
            like.new_empty(rows, config.units).bernoulli_(keep, generator=generator).div_(keep)
            for _ in range(config.layers)
        ]

    def uncertainty(self, density: TanhNormal) -> Float[Tensor, "*b A"]:
        """Standard deviation of the action, by Gauss-Hermite quadrature."""
        mean, std = (x.unsqueeze(-1) for x in density.base)
        values = torch.tanh(mean + std * self.nodes)
        center = (values * self.node_weight).sum(-1, keepdim=True)
        variance = ((values - center).square() * self.node_weight).sum(-1)
        return variance.sqrt().clamp(min=SMALLEST_STD)


def contexts(embed: Float[Tensor, "B T1 E"], num: int) -> Float[Tensor, "B T1-1 C"]:
    """The ``num`` encoded observations up to o_{t+1} side by side, for every step of every window.

    Zeros stand for observations before the window, so only windows that begin with their
    trajectory have whole contexts at all steps; the others have them from step ``num`` − 2 on.
    """
    padded = F.pad(embed, (0, 0, num - 2, 0))
    return padded.unfold(1, num, 1).transpose(2, 3).flatten(2)
