"""TD3+BC: offline RL without a model, on the labeled steps alone (Fujimoto & Gu 2021).

See ``networks.offline.td3_bc`` for the equations.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lawm_models.algorithms._offline import OnLabels
from lawm_models.networks.encoders import vectors
from lawm_models.networks.encoders._protocol import EncoderChoice
from lawm_models.networks.offline.td3_bc import TD3BC, TD3BCConfig


class Config(TD3BCConfig):
    """TD3+BC on the labeled steps."""

    encoder: EncoderChoice = Field(default_factory=lambda: vectors.Config(scale="standard"))
    """How observations enter."""


class Algorithm(OnLabels):
    """See ``_offline.OnLabels``."""

    title: ClassVar[str] = "TD3+BC"
    learner = TD3BC
