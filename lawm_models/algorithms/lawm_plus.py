"""LAWM+: LAWM with a learned prior p(u|s), so that the policy's support moves with the state.

The paper compares LAWM, whose prior is N(0, I), with C-LAP, whose prior is a network, so that its
Table 1 confounds what a model sees with what its policy may do. With few gradient steps N(0, I) is
not what u is like in a state (docs/benchmarks.md). LAWM+ takes both: all windows, and a prior that
learns from all of them.
"""

from __future__ import annotations

from pydantic import Field

from lawm_models.algorithms import lawm
from lawm_models.latent_action import LearnedPriorConfig
from lawm_models.latent_action_model import LatentActionModelConfig


class ModelConfig(LatentActionModelConfig):
    """The world model."""

    # narrower than its parent's, which is sound: settings do not change
    latent_action: LearnedPriorConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=LearnedPriorConfig
    )
    """The latent-action densities."""


class Config(lawm.Config):
    """Settings of LAWM+; all but the prior are LAWM's."""

    # narrower than its parent's, which is sound: settings do not change
    model: ModelConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ModelConfig
    )
    """The world model."""


class Algorithm(lawm.Algorithm):
    """See ``algorithms._protocol.Algorithm``."""
