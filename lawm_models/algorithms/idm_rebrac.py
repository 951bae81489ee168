"""IDM-ReBRAC: an inverse dynamics model fills in actions, then ReBRAC learns from all of them.

See ``algorithms._behind_idm``.
"""

from __future__ import annotations

from pydantic import Field

from lawm_models.algorithms._behind_idm import BehindIDM, BehindIDMConfig
from lawm_models.networks.offline.rebrac import ReBRAC, ReBRACConfig


class Config(BehindIDMConfig):
    """Settings of both stages."""

    agent: ReBRACConfig = Field(default_factory=ReBRACConfig)
    """ReBRAC."""


class Algorithm(BehindIDM):
    """See ``_behind_idm.BehindIDM``."""

    learner = ReBRAC
