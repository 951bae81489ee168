"""IQL: values of the data's own actions, on the labeled steps alone (Kostrikov et al. 2022).

See ``networks.offline.iql`` for the equations.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lawm_models.algorithms._offline import OnLabels
from lawm_models.networks.encoders import vectors
from lawm_models.networks.encoders._protocol import EncoderChoice
from lawm_models.networks.offline.iql import IQL, IQLConfig


class Config(IQLConfig):
    """IQL on the labeled steps."""

    encoder: EncoderChoice = Field(default_factory=lambda: vectors.Config(scale="standard"))
    """How observations enter."""


class Algorithm(OnLabels):
    """See ``_offline.OnLabels``."""

    title: ClassVar[str] = "IQL"
    learner = IQL
