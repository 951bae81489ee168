"""DiLA: latent actions of a structure that moves, apart from a content that stays.

After DiLA (Zhang et al. 2026, arXiv 2605.15725), on states or features, of the parts of ``lam``. Of
the second stage the map from true actions to latent ones is what the paper trains on 100
trajectories.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lawm_models.algorithms import lam
from lawm_models.networks.lam.disentangled_model import DisentangledConfig, DisentangledModel
from lawm_models.networks.lam.latent_transition_model import LatentTransitionModel


class Config(lam.Config):
    """Settings of DiLA."""

    # narrower than its parent's, which is sound: settings do not change
    model: DisentangledConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=DisentangledConfig
    )
    """Both paths, and the terms between them."""


class Algorithm(lam.Algorithm):
    """See ``algorithms._protocol.Algorithm``; ``model`` and ``controller`` are for planners."""

    name: ClassVar[str] = "dila"
    model_class: ClassVar[type[LatentTransitionModel]] = DisentangledModel
