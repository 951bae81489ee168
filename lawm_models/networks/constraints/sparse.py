"""Sparse: an l1 norm on every latent action, and moments of all of them that forbid shrinking."""

from __future__ import annotations

import math
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lawm_models.networks.constraints import _protocol
from lawm_models.networks.constraints._protocol import (
    SMALLEST,
    Constrained,
    ConstraintConfig,
    mean_of,
    moments,
)
from lawm_models.networks.data_parallel import total
from lawm_models.networks.world_model import Generators


class Config(ConstraintConfig):
    """Settings of ``sparse``; all defaults but ``l1`` are the paper's."""

    # narrower than its parent's, which is sound: settings do not change
    name: Literal["sparse"] = "sparse"  # pyright: ignore[reportIncompatibleVariableOverride]
    """This constraint."""
    l1: float = Field(default=0.02, ge=0)
    """λ_l1, weight of ‖z‖₁: the larger, the less a latent action says."""
    l2: float = Field(default=1.0, ge=0)
    """λ_l2, weight of what the norm lacks of √D."""
    variance: float = Field(default=0.1, ge=0)
    """λ_V, weight of what the standard deviation of each dimension lacks of 1."""
    covariance: float = Field(default=0.001, ge=0)
    """λ_C, weight of squared covariances between dimensions."""
    mean: float = Field(default=0.1, ge=0)
    """λ_M, weight of the squared mean of each dimension."""
    norm: Literal["squared", "plain"] = "squared"
    """What √D is compared with: ‖z‖², as the paper prints, or ‖z‖."""


class Constraint(_protocol.Sampled):
    """z = h, with λ_l2 max(√D − ‖z‖², 0) + λ_l1 ‖z‖₁ and a term of the batch's moments.

    The paper prints the mean term linear, a pull to negative latents; here it is squared, as
    beside a variance and a covariance it must be meant.
    """

    def forward(
        self,
        hidden: Float[Tensor, "*m N D"],
        weight: Float[Tensor, "*m N"],
        generator: Generators | None,
    ) -> Constrained:
        """See the protocol."""
        self.remembered.add(hidden, weight)
        l1 = mean_of(hidden.abs().sum(-1), weight)
        each = mean_of(self.config.l2 * self._lack(hidden), weight) + self.config.l1 * l1
        return Constrained(hidden, each + self._moments(hidden, weight), {"l1": l1.detach()})

    def _lack(self, latent: Float[Tensor, "*m N D"]) -> Float[Tensor, "*m N"]:
        """What the norm lacks of √D."""
        norm = latent.square().sum(-1)
        if self.config.norm == "plain":
            norm = (norm + SMALLEST).sqrt()
        return (math.sqrt(self.dim) - norm).clamp(min=0)

    def _moments(
        self, latent: Float[Tensor, "*m N D"], weight: Float[Tensor, "*m N"]
    ) -> Float[Tensor, "*m"]:
        """Variance, covariance and mean of the batch (VCM); none of an empty one."""
        mean, covariance = moments(latent, weight)
        variance = covariance.diagonal(dim1=-2, dim2=-1)
        # the root has no derivative at zero
        narrow = (1 - (variance + SMALLEST).sqrt()).clamp(min=0).mean(-1)
        others = covariance.square().sum((-2, -1)) - variance.square().sum(-1)
        pairs = max(self.dim * (self.dim - 1), 1)
        found = (
            self.config.variance * narrow
            + self.config.covariance / pairs * others
            + self.config.mean * mean.square().mean(-1)
        )
        (weights,) = total(weight.sum(-1))
        return found * weights.clamp(max=1)
