"""Gaussian: noise drowns what is not worth its nats, β · KL(q(z|s,s') ‖ N(0, I))."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lawm_models.networks.constraints import _protocol
from lawm_models.networks.constraints._protocol import Constrained, ConstraintConfig, mean_of
from lawm_models.networks.distributions import Normal, kl, split_normal
from lawm_models.networks.world_model import Generators, standard_noise

MIN_STD = 0.01
"""Smallest standard deviation of q(z|s,s')."""


class Config(ConstraintConfig):
    """Settings of ``gaussian``."""

    # narrower than its parent's, which is sound: settings do not change
    name: Literal["gaussian"] = "gaussian"  # pyright: ignore[reportIncompatibleVariableOverride]
    """This constraint."""
    beta: float = Field(default=0.03, ge=0)
    """Weight of the KL."""


class Constraint(_protocol.Constraint):
    """z ~ q(z|s,s'), and its KL to N(0, I).

    The paper prints the KL with a minus sign, which would reward distance from the prior without
    bound; it is a plus.
    """

    @property
    def inputs(self) -> int:
        """Means and widths."""
        return 2 * self.dim

    def forward(
        self,
        hidden: Float[Tensor, "*m N H"],
        weight: Float[Tensor, "*m N"],
        generator: Generators | None,
    ) -> Constrained:
        """See the protocol."""
        q = split_normal(hidden, MIN_STD)
        size = q.mean.shape[-2:]
        prior = Normal(torch.zeros_like(q.mean), torch.ones_like(q.std))
        divergence = mean_of(kl(q, prior), weight)
        latent = q.sample(standard_noise(q.mean, generator, *size))
        return Constrained(latent, self.config.beta * divergence, {"kl": divergence.detach()})

    def latent(self, hidden: Float[Tensor, "*b H"]) -> Float[Tensor, "*b D"]:
        """The mean."""
        return split_normal(hidden, MIN_STD).mean

    def prior_sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "N D"]:
        """Draws from N(0, I)."""
        return torch.randn(count, self.dim, generator=generator, device=generator.device)
