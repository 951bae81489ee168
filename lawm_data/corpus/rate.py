"""How long a step of a corpus lasts."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from lawm_schemas import Manifest, Provenance

FPS = "fps"
"""``Provenance.settings`` has under this name the frames per second of the recording."""


def step_seconds(manifest: Manifest) -> float | None:
    """Seconds from one observation to the next, or None when nothing says so.

    What its sources were recorded at tells, when all agree, or else the environment.
    """
    found = {_recorded(source) for source in manifest.provenance}
    rate = found.pop() if len(found) == 1 else None
    if rate is not None:
        return 1 / rate
    environment = manifest.environment
    if environment is None or not environment.control_timestep:
        return None
    return environment.control_timestep * environment.action_repeat


def _recorded(source: Provenance) -> float | None:
    rate = source.settings.get(FPS)
    if rate is None:
        arguments = _within(_within(source.settings, "env_args"), "env_kwargs")
        rate = arguments.get("control_freq")  # robosuite's name for it
    if not isinstance(rate, int | float) or isinstance(rate, bool):
        return None
    return float(rate) if isfinite(rate) and rate > 0 else None


def _within(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = settings.get(key)
    return found if isinstance(found, Mapping) else {}
