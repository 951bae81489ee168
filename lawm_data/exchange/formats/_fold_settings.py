"""Settings of formats: plain values from the command line, checked where they are used."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from lawm_schemas import ConfigError


def whole(settings: Mapping[str, Any], name: str, low: int, high: int, usual: int) -> int:
    """A whole number in [low, high].

    Raises:
        ConfigError: it is not one.
    """
    value = settings.get(name, usual)
    if type(value) is not int or not low <= value <= high:
        raise ConfigError(f"is {value!r}", name, f"give a whole number from {low} to {high}")
    return value


def rate(settings: Mapping[str, Any], name: str, usual: float) -> float:
    """Something per second: a number above 0 and at most 1000.

    Raises:
        ConfigError: it is not one.
    """
    value = settings.get(name, usual)
    if type(value) not in (int, float) or not isfinite(value) or not 0 < value <= 1000:
        raise ConfigError(f"is {value!r}", name, "give a number above 0, 1000 at most")
    return value


def choice(settings: Mapping[str, Any], name: str, options: tuple[str, ...]) -> str:
    """One of some words, the first of them when nothing is said.

    Raises:
        ConfigError: it is another one.
    """
    value = settings.get(name, options[0])
    if value not in options:
        raise ConfigError(f"is {value!r}", name, f"give one of {', '.join(options)}")
    return value
