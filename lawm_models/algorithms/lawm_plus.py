"""LAWM+: LAWM with a learned prior p(u|s), which the policy leaves only for enough return.

The paper compares LAWM, whose prior is N(0, I), with C-LAP, whose prior is a network, so that its
Table 1 confounds what a model sees with what its policy may do. With few gradient steps N(0, I) is
not what u is like in a state (docs/benchmarks.md). LAWM+ takes both: all windows, and a prior that
learns from all of them.

And its policy pays KL(π(u|s) ‖ p(u|s)), the more the better a state tells what the data do in it:
a model that has seen one action in a state cannot know what another would do.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lawm_models.algorithms import lawm
from lawm_models.networks.actor_critic import ActorCriticConfig
from lawm_models.networks.latent_action import LearnedPriorConfig
from lawm_models.networks.latent_action_model import LatentActionModelConfig


class ModelConfig(LatentActionModelConfig):
    """The world model."""

    # narrower than its parent's, which is sound: settings do not change
    latent_action: LearnedPriorConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=LearnedPriorConfig
    )
    """The latent-action densities."""


class AgentConfig(ActorCriticConfig):
    """Policy and values."""

    normalize_returns: bool = True
    """Divide the actor's returns by their running 5 to 95 % range, at least 1, so that the weight
    of the KL means the same in all data."""


class Config(lawm.Config):
    """Settings of LAWM+; all others are LAWM's."""

    # both narrower than their parent's, which is sound: settings do not change
    model: ModelConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ModelConfig
    )
    """The world model."""
    agent: AgentConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=AgentConfig
    )
    """Policy and values."""
    prior_kl: float = Field(default=0.008, ge=0)
    """Weight of KL(π(u|s) ‖ p(u|s)) in the actor's loss."""
    prior_kl_scale: Literal["one", "action_snr"] = "action_snr"
    """What that weight is multiplied by."""


class Algorithm(lawm.Algorithm):
    """See ``algorithms._protocol.Algorithm``."""
