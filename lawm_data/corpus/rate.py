"""How long a step of a corpus lasts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any

from lawm_schemas import Manifest, Provenance

FPS = "fps"
"""``Provenance.settings`` has under this name the frames per second of the recording."""

ONE_RATE = 0.02
"""Relative difference up to which two frame rates are one, as 29.97 and 30 are."""


def step_seconds(manifest: Manifest) -> float | None:
    """Seconds from one observation to the next, or None when nothing says so.

    What its sources were recorded at tells, when all agree, or else the environment.
    """
    found = {_recorded(source) for source in manifest.provenance}
    rate = found.pop() if len(found) == 1 else None
    return _environment_seconds(manifest) if rate is None else 1 / rate


def source_rates(manifest: Manifest, used: Collection[int] | None = None) -> list[float | None]:
    """Steps a second in each source of a corpus; what it does not say, the environment may.

    Args:
        manifest: of the corpus.
        used: the places of the sources that are looked at; None means all.
    """
    seconds = _environment_seconds(manifest)
    return [
        _recorded(source) or (1 / seconds if seconds else None)
        for place, source in enumerate(manifest.provenance)
        if used is None or place in used
    ]


def step_rates(manifest: Manifest, used: Collection[int] | None = None) -> tuple[float, ...]:
    """The different ones of ``source_rates``, as far as they are known: at most one, as a rule."""
    found: list[float] = []
    for rate in source_rates(manifest, used):
        if rate is not None and not any(one_rate(rate, other) for other in found):
            found.append(rate)
    return tuple(found)


def one_rate(rate: float, other: float) -> bool:
    """Whether two frame rates are the same one."""
    return abs(rate - other) <= ONE_RATE * other


def _environment_seconds(manifest: Manifest) -> float | None:
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
