"""The four latent-action densities: p(u|s), q(u|s,a), q(u|s,o') and p(a|s,u)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from lawm_schemas import Schema
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lawm_models.networks.action_density import ActionDensities, ActionDensity, ActionDensityName
from lawm_models.networks.distributions import Normal, split_normal
from lawm_models.networks.layers import MLP, NormedLinear, NormedSum


class LatentActionConfig(Schema):
    """Sizes of the latent-action densities; the defaults are the paper's (Table 2)."""

    dim: int = Field(default=12, ge=1)
    """U, latent action."""
    prior: Literal["standard_normal", "learned"] = "standard_normal"
    """p(u|s): N(0, I) for LAWM, a network for C-LAP."""
    units: int = Field(default=512, ge=1)
    """Hidden units of every density."""
    layers: int = Field(default=2, ge=1)
    """Hidden layers of prior, posterior and decoder."""
    inverse_layers: int = Field(default=3, ge=1)
    """Hidden layers of the inverse posterior q(u|s,o')."""
    min_std: float = Field(default=0.1, gt=0)
    """Smallest standard deviation of prior and posteriors."""


class LearnedPriorConfig(LatentActionConfig):
    """The same where the prior is learned unless something else is asked for."""

    prior: Literal["standard_normal", "learned"] = "learned"
    """p(u|s): a network, or N(0, I) to see what that alone changes."""


class ActionPosterior(nn.Module):
    """q(u | s, a), Eq. 3: the latent action behind a known action."""

    def __init__(self, config: LatentActionConfig, feature_dim: int, action_dim: int) -> None:
        super().__init__()
        self.min_std = config.min_std
        self.net = MLP(feature_dim + action_dim, 2 * config.dim, config.units, config.layers)

    def forward(self, feature: Float[Tensor, "*b F"], action: Float[Tensor, "*b A"]) -> Normal:
        """Density over u, (*b, U)."""
        return split_normal(self.net(torch.cat((feature, action), -1)), self.min_std)


class InversePosterior(nn.Module):
    """q(u | s, o'), Eq. 6: the latent action behind a change of observation (inverse dynamics)."""

    def __init__(self, config: LatentActionConfig, feature_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.min_std = config.min_std
        self.first = NormedSum(feature_dim, embed_dim, config.units)
        self.rest = nn.Sequential(
            *(NormedLinear(config.units, config.units) for _ in range(config.inverse_layers - 1)),
            nn.Linear(config.units, 2 * config.dim),
        )

    def project(self, next_embed: Float[Tensor, "*b E"]) -> Float[Tensor, "*b N"]:
        """The next observation's share of the first layer, for all steps in one product."""
        return self.first.project(next_embed)

    def forward(
        self, feature: Float[Tensor, "*b F"], projected: Float[Tensor, "*b N"], dropout: float = 0.0
    ) -> Normal:
        """Density over u, (*b, U); ``projected`` comes from ``project``.

        ``dropout`` is the share of hidden units that are silent, drawn from torch's global
        generator; the others speak up in turn.
        """
        hidden = self.first(feature, projected)
        for layer in self.rest:
            hidden = layer(F.dropout(hidden, dropout) if dropout else hidden)
        return split_normal(hidden, self.min_std)


class ActionDecoder(nn.Module):
    """p(a|s,u) over normalised actions; generative and inference model share it (App. B).

    Args:
        config: sizes.
        feature_dim: F.
        action_dim: A.
        density: form of the density.
        std: its width, or where a learned one starts.
    """

    def __init__(
        self,
        config: LatentActionConfig,
        feature_dim: int,
        action_dim: int,
        density: ActionDensityName = "normal",
        std: float = 0.2,
    ) -> None:
        super().__init__()
        self.action_dim = action_dim
        self.densities = ActionDensities(density, std)
        width = self.densities.outputs * action_dim
        self.net = MLP(feature_dim + config.dim, width, config.units, config.layers)

    def forward(
        self,
        feature: Float[Tensor, "*b F"],
        latent_action: Float[Tensor, "*b U"],
        noise: Float[Tensor, "*b A"] | None = None,
    ) -> Float[Tensor, "*b A"]:
        """Normalised action: a sample for standard normal noise, without noise the mean."""
        return self.density(feature, latent_action).sample(noise)

    def density(
        self, feature: Float[Tensor, "*b F"], latent_action: Float[Tensor, "*b U"]
    ) -> ActionDensity:
        """p(a | s, u)."""
        return self.densities.read(self.net(torch.cat((feature, latent_action), -1)))


class LatentActionPrior(nn.Module):
    """p(u | s): a standard normal (LAWM) or a network (C-LAP)."""

    def __init__(self, config: LatentActionConfig, feature_dim: int) -> None:
        super().__init__()
        self.dim = config.dim
        self.min_std = config.min_std
        self.net = None
        if config.prior == "learned":
            self.net = MLP(feature_dim, 2 * config.dim, config.units, config.layers)

    def forward(self, feature: Float[Tensor, "*b F"]) -> Normal:
        """Density over u, (*b, U)."""
        if self.net is not None:
            return split_normal(self.net(feature), self.min_std)
        zeros = feature.new_zeros(*feature.shape[:-1], self.dim)
        return Normal(zeros, torch.ones_like(zeros))
