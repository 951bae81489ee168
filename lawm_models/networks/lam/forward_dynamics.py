"""The change of an observation from a state and an action, which enters by AdaLN-zero."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lawm_models.networks.layers import Linear


class ForwardDynamics(nn.Module):
    """Residual MLP in which every normalisation is shifted, scaled and gated by the action.

    All of that begins at zero, and so does the output (AdaLN-zero, Peebles & Xie 2023): a fresh
    network predicts that nothing changes, whatever the action is.

    Args:
        state_dim: S.
        action_dim: A, of a latent or a true action.
        out_dim: E.
        units: width.
        layers: residual blocks.
    """

    def __init__(
        self, state_dim: int, action_dim: int, out_dim: int, units: int, layers: int
    ) -> None:
        super().__init__()
        self.layers = layers
        self.state = Linear(state_dim, units)
        self.action = Linear(action_dim, units)
        self.modulation = Linear(units, units * (3 * layers + 2))
        self.blocks = nn.ModuleList(_Block(units) for _ in range(layers))
        self.out = Linear(units, out_dim)
        for layer in (self.modulation, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, state: Float[Tensor, "*b S"], action: Float[Tensor, "*#b A"]
    ) -> Float[Tensor, "*b E"]:
        """The change; the leading axes of an action may be 1, where it is the same for all."""
        parts = self.modulation(F.silu(self.action(action))).chunk(3 * self.layers + 2, -1)
        x = self.state(state)
        for i, block in enumerate(self.blocks):
            shift, scale, gate = parts[3 * i : 3 * i + 3]
            x = x + gate * block(modulated(x, shift, scale))
        return self.out(F.silu(modulated(x, *parts[-2:])))


class _Block(nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.first, self.second = Linear(units, units), Linear(units, units)

    def forward(self, x: Float[Tensor, "*b N"]) -> Float[Tensor, "*b N"]:
        return self.second(F.silu(self.first(x)))


def modulated(
    x: Float[Tensor, "*b N"], shift: Float[Tensor, "*#b N"], scale: Float[Tensor, "*#b N"]
) -> Float[Tensor, "*b N"]:
    """Normalised over the last axis, then scaled and shifted."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), 1 + scale)
