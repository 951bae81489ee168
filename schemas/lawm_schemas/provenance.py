"""Where trajectories come from and what was done to them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lawm_schemas.base import Schema


class EnvironmentInfo(Schema):
    """The environment that produced the trajectories, enough to make it again."""

    suite: str = "dm_control"
    """One of ``lawm_data.envs.suites.SUITES``; looked up, never imported by its name."""
    task: str
    """Task within the suite, e.g. ``walker-walk``."""
    action_repeat: int = Field(default=1, ge=1)
    """Control steps per recorded step."""
    control_timestep: float | None = None
    """Seconds of simulated time per control step."""
    max_return: float | None = None
    """Largest return an episode can have; the normalised score is 100 × return / max_return."""


class Provenance(Schema):
    """The source shared by a group of trajectories."""

    source: str
    """Short name of the source, e.g. ``dreamer``, ``random``, ``minari:D4RL/door/human-v2``."""
    agent: str | None = None
    """What chose the actions: agent name or the fingerprint of its run."""
    seed: int | None = None
    """Seed of the collecting run."""
    origin: str = "training"
    """``training`` (recorded while the agent learned), ``rollout`` or ``import``."""
    tier: str | None = None
    """Quality tier, when it was selected by one (``medium``, ``expert``, …)."""
    licence: str | None = None
    """SPDX licence of the data from this source."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Package versions that matter (mujoco, dm_control, torch, lawm)."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The collecting agent's configuration, plain data."""


class LineageStep(Schema):
    """One operation that led from parent corpora to this one."""

    operation: str
    """Verb: ``collect``, ``withhold``, ``filter``, ``delete``, ``edit``, ``rerender``, ``merge``,
    ``split``, ``tier``."""
    parents: tuple[str, ...] = ()
    """Fingerprints of the corpora it started from."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What the operation was told."""
