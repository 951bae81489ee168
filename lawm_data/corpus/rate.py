"""How long a step of a corpus lasts."""

from __future__ import annotations

from math import isfinite
from typing import Any

from lawm_schemas import Manifest, Provenance

FPS = "fps"
"""``Provenance.settings`` has under this name the frames per second of the recording."""


def step_seconds(manifest: Manifest) -> float | None:
    """Seconds from one observation to the next, or None when nothing says so.

    The environment tells, or else what the sources of the corpus were recorded at, when all agree.
    """
    environment = manifest.environment
    if environment is not None and environment.control_timestep:
        return environment.control_timestep * environment.action_repeat
    found = {_recorded(source) for source in manifest.provenance}
    rate = found.pop() if len(found) == 1 else None
    return None if rate is None else 1 / rate


def _recorded(source: Provenance) -> float | None:
    rate: Any = source.settings.get(FPS)
    for key in ("env_args", "env_kwargs", "control_freq") if rate is None else ():  # robosuite's
        rate = (source.settings if rate is None else rate).get(key)
        if key != "control_freq" and not isinstance(rate, dict):
            return None
    if type(rate) not in (int, float) or not isfinite(rate) or rate <= 0:
        return None
    return float(rate)
