"""ReBRAC: TD3+BC whose values imitate, too, on the labeled steps alone (Tarasov et al. 2023).

See ``networks.offline.rebrac`` for the equations.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lawm_models.algorithms._offline import OnLabels
from lawm_models.networks.encoders import vectors
from lawm_models.networks.encoders._protocol import EncoderChoice
from lawm_models.networks.offline.rebrac import ReBRAC, ReBRACConfig


class Config(ReBRACConfig):
    """ReBRAC on the labeled steps."""

    encoder: EncoderChoice = Field(default_factory=lambda: vectors.Config(scale="standard"))
    """How observations enter."""


class Algorithm(OnLabels):
    """See ``_offline.OnLabels``."""

    title: ClassVar[str] = "ReBRAC"
    learner = ReBRAC
