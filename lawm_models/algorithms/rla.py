"""RLA: latent actions of the change alone, then a flow from true actions to them as world model.

After RLA-WM (Zhang et al. 2026, arXiv 2605.07079), on states or features, of the parts of ``lam``:

- stage ``model``: z = enc((o_{t+k} − o_t) / σ_Δ) and ô_{t+k} = o_t + σ_Δ dec(s_t, z);
- stage ``controller``: z given (s_t, a) by flow matching, where actions are known. It learns
  nothing where none are.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lawm_models.algorithms import lam
from lawm_models.networks.constraints import none
from lawm_models.networks.constraints._protocol import ConstraintChoice
from lawm_models.networks.lam.controller import Controller
from lawm_models.networks.lam.flow_controller import FlowController, FlowControllerConfig
from lawm_models.networks.lam.latent_transition_model import LatentTransitionConfig
from lawm_models.networks.lam.transition_model import Error


class ModelConfig(LatentTransitionConfig):
    """The autoencoder of changes."""

    constraint: ConstraintChoice = Field(default_factory=none.Config)
    """What a latent action may say."""
    inverse: Literal["state", "change"] = "change"
    """What the encoder sees: the state with the change after it, or the change alone."""
    error: Error = "both"
    """What is minimised of an error, in units of σ_Δ."""


class Config(lam.Config):
    """Settings of RLA."""

    # both narrower than their parent's, which is sound: settings do not change
    model: ModelConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ModelConfig
    )
    """Autoencoder of changes."""
    controller: FlowControllerConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=FlowControllerConfig
    )
    """Between true and latent actions."""


class Algorithm(lam.Algorithm):
    """See ``algorithms._protocol.Algorithm``; ``model`` and ``controller`` are for planners."""

    name: ClassVar[str] = "rla"
    controller_class: ClassVar[type[Controller]] = FlowController
