"""Latent actions of a structure that moves, apart from a content that stays.

Structure x = S(o), z = g((x' − x) / σ), x̂' = x + σ p(x, z), and from x̂' and the content c = C(s)
the change of the observation. σ is the mean of σ_Δ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from lawm_schemas import Size
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lawm_data.corpus.corpus import Corpus
from lawm_models.networks.constraints import none
from lawm_models.networks.constraints._protocol import (
    SMALLEST,
    ConstraintChoice,
    mean_of,
    moments,
)
from lawm_models.networks.lam.forward_dynamics import ForwardDynamics
from lawm_models.networks.lam.latent_transition_model import (
    LatentTransitionConfig,
    LatentTransitionModel,
)
from lawm_models.networks.lam.transition_model import Steps
from lawm_models.networks.layers import MLP

STILL = 0.01
"""A structure that moves less, in units of σ, says nothing of what the opposite would be."""
STEEPNESS = 10.0
"""Of the variance term."""


class DisentangledConfig(LatentTransitionConfig):
    """Sizes, and weights of the terms beside the error of the observation."""

    constraint: ConstraintChoice = Field(default_factory=none.Config)
    """What a latent action may say."""
    inverse: Literal["change"] = "change"  # pyright: ignore[reportIncompatibleVariableOverride]
    """What the inverse model sees: the change of the structure alone."""
    structure: Size = 16
    """M, width of the structure."""
    content: Size = 64
    """Width of the content."""
    structure_error: float = Field(default=0.015, ge=0)
    """Weight of mean (p(x, z) − (x' − x) / σ)²."""
    cycle: float = Field(default=0.015, ge=0)
    """Weight of mean (g(p(x, z)) − z)²: the latent action of what was predicted."""
    variance: float = Field(default=0.0075, ge=0)
    """Weight of exp(−10 · mean std of z in the batch)."""
    opposition: float = Field(default=5e-4, ge=0)
    """Weight of (1 + cos(g(m), g(−m)))²: what moves back is the opposite."""
    norm: float = Field(default=5e-4, ge=0)
    """Weight of ‖z‖²."""


class DisentangledDynamics(nn.Module):
    """p(s, z) along two paths: the structure is moved by z, the content is told where to.

    Args:
        state_dim: S.
        dim: E, of the newest observation, which a state ends with.
        latent_dim: D.
        config: sizes.
    """

    scale: Tensor

    def __init__(
        self, state_dim: int, dim: int, latent_dim: int, config: DisentangledConfig
    ) -> None:
        super().__init__()
        self.dim, sizes = dim, (config.units, config.layers)
        self.structure = MLP(dim, config.structure, *sizes)
        self.motion = ForwardDynamics(config.structure, latent_dim, config.structure, *sizes)
        self.content = MLP(state_dim, config.content, *sizes)
        self.fusion = ForwardDynamics(config.content, 2 * config.structure, dim, *sizes)
        self.register_buffer("scale", torch.ones(()))

    def forward(
        self, state: Float[Tensor, "*b S"], latent: Float[Tensor, "*b D"]
    ) -> Float[Tensor, "*b E"]:
        """The scaled change of the observation."""
        structure = self.structure(state[..., -self.dim :])
        motion = self.motion(structure, latent)
        moved = torch.cat((structure + self.scale * motion, motion), -1)
        return self.fusion(self.content(state), moved)


class DisentangledModel(LatentTransitionModel):
    """See ``LatentTransitionModel``; after DiLA (Zhang et al. 2026, arXiv 2605.15725)."""

    config: DisentangledConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    dynamics: DisentangledDynamics  # pyright: ignore[reportIncompatibleVariableOverride]

    def _dynamics(self) -> DisentangledDynamics:
        return DisentangledDynamics(self.state_dim, self.dim, self.action_dim, self.config)

    @property
    def moved_dim(self) -> int:
        """M."""
        return self.config.structure

    def fit(self, corpora: Sequence[Corpus]) -> None:
        """See ``TransitionModel``."""
        super().fit(corpora)
        self.dynamics.scale.copy_(self.change.mean())

    def moved(
        self, state: Float[Tensor, "*b C E"], after: Float[Tensor, "*b E"]
    ) -> Float[Tensor, "*b M"]:
        """The change of the structure, in units of σ."""
        structure = self.dynamics.structure
        return (structure(after) - structure(self.observation(state))) / self.dynamics.scale

    def terms(
        self, steps: Steps, latent: Float[Tensor, "*m N D"]
    ) -> dict[str, Float[Tensor, "*m"]]:
        """See ``DisentangledConfig``."""
        config, weight = self.config, steps.weight
        moved = self.moved(steps.state, steps.after)
        structure = self.dynamics.structure(self.observation(steps.state))
        predicted = self.dynamics.motion(structure, latent)
        forth, back, again = (self._latent(x) for x in (moved, -moved, predicted))
        opposed = (1 + F.cosine_similarity(forth, back, -1)).square()
        variance = moments(latent, weight)[1].diagonal(dim1=-2, dim2=-1)
        spread = variance.clamp(min=SMALLEST).sqrt().mean(-1)
        return {
            "structure_error": config.structure_error
            * mean_of((predicted - moved).square().mean(-1), weight),
            "cycle": config.cycle * mean_of((again - latent).square().mean(-1), weight),
            "variance": config.variance * (-STEEPNESS * spread).exp(),
            "opposition": config.opposition
            * mean_of(opposed, weight * (moved.norm(dim=-1) > STILL)),
            "norm": config.norm * mean_of(latent.square().sum(-1), weight),
        }

    def _latent(self, moved: Float[Tensor, "*b M"]) -> Float[Tensor, "*b D"]:
        """The latent action of a change of the structure, without any chance."""
        return self.constraint.latent(self.inverse_dynamics(moved) + self.direct(moved))
