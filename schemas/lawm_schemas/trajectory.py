"""What is known of one trajectory without reading its arrays."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from lawm_schemas.base import Schema


class LabelState(StrEnum):
    """The state of a trajectory's actions; every trajectory is in exactly one."""

    observed = "observed"
    """Recorded and readable."""
    withheld = "withheld"
    """Recorded, but hidden by a mask: no view returns them."""
    missing = "missing"
    """Never recorded: no bytes anywhere."""
    inferred = "inferred"
    """Written by a model, in a label overlay."""


class TrajectoryInfo(Schema):
    """One row of the table of trajectories."""

    id: str
    """Stable name, a hash of observations and rewards (never of actions)."""
    length: int = Field(ge=1)
    """Number of steps T; there are T+1 observations."""
    labels: LabelState
    """State of the actions."""
    num_observed: int = Field(ge=0)
    """Steps whose action is observed; less than ``length`` when partially labeled."""
    episode_return: float
    """Sum of rewards."""
    terminated: bool
    """The last step ended in a terminal state."""
    truncated: bool
    """The last step was cut by a limit."""
    source: str
    """Short name of the source (see provenance)."""
    agent_step: int | None = None
    """Gradient or environment step of the collecting agent when the trajectory began."""
    seed: int | None = None
    """Seed of the environment's reset."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Anything else, plain data."""
