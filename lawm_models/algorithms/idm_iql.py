"""IDM-IQL: an inverse dynamics model fills in actions, then IQL learns from all of them.

See ``algorithms._behind_idm``.
"""

from __future__ import annotations

from pydantic import Field

from lawm_models.algorithms._behind_idm import BehindIDM, BehindIDMConfig
from lawm_models.networks.offline.iql import IQL, IQLConfig


class Config(BehindIDMConfig):
    """Settings of both stages."""

    agent: IQLConfig = Field(default_factory=IQLConfig)
    """IQL."""


class Algorithm(BehindIDM):
    """See ``_behind_idm.BehindIDM``."""

    learner = IQL
