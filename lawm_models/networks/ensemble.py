"""One-step predictors of one thing: where they disagree, their data end."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from lawm_schemas import Count, Schema, Size
from lawm_schemas.base import MOST
from pydantic import Field
from torch import Tensor, nn

from lawm_models.networks.layers import MLP
from lawm_models.networks.world_model import weighted_mean


class EnsembleConfig(Schema):
    """The one-step predictors."""

    members: int = Field(default=5, ge=2, le=MOST)
    """N."""
    units: Size = 128
    """Hidden units of each."""
    layers: Count = 2
    """Hidden layers of each."""
    rate: float = Field(default=6e-4, gt=0)
    """Learning rate."""


class Ensemble(nn.Module):
    """N predictors of the next embedding, which differ in their initial weights alone.

    Args:
        config: sizes.
        feature_dim: F.
        action_dim: A.
        embed_dim: E.
    """

    def __init__(
        self, config: EnsembleConfig, feature_dim: int, action_dim: int, embed_dim: int
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            MLP(feature_dim + action_dim, embed_dim, config.units, config.layers)
            for _ in range(config.members)
        )

    def forward(
        self, feature: Float[Tensor, "*b F"], action: Float[Tensor, "*b A"]
    ) -> Float[Tensor, "N *b E"]:
        """Every member's prediction."""
        known = torch.cat((feature, action), -1)
        return torch.stack([member(known) for member in self.members])

    def loss(
        self,
        feature: Float[Tensor, "B T1 F"],
        action: Float[Tensor, "B T1-1 A"],
        embed: Float[Tensor, "B T1 E"],
        valid: Bool[Tensor, "B T1-1"],
    ) -> Float[Tensor, ""]:
        """Squared error over real steps, mean over E, summed over members.

        States, actions and embeddings are data here: nothing but the ensemble learns from it.
        """
        error = self(feature[:, :-1].detach(), action.detach()) - embed[:, 1:].detach()
        return weighted_mean(error.square().mean(-1).sum(0), valid.float())


def disagreement(predictions: Float[Tensor, "N *b E"]) -> Float[Tensor, "*b E"]:
    """Variance over the members (population)."""
    # by hand: torch.var takes as long as the whole ensemble on a CPU
    return (predictions - predictions.mean(0)).square().mean(0)
