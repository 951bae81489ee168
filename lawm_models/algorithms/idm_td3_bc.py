"""IDM-TD3+BC: an inverse dynamics model fills in actions, then TD3+BC learns from all of them.

See ``algorithms._behind_idm``.
"""

from __future__ import annotations

from pydantic import Field

from lawm_models.algorithms._behind_idm import BehindIDM, BehindIDMConfig
from lawm_models.networks.offline.td3_bc import TD3BC, TD3BCConfig


class Config(BehindIDMConfig):
    """Settings of both stages."""

    agent: TD3BCConfig = Field(default_factory=TD3BCConfig)
    """TD3+BC."""


class Algorithm(BehindIDM):
    """See ``_behind_idm.BehindIDM``."""

    learner = TD3BC
