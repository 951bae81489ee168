"""Settings of formats: among them what a user declares because the files do not say it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from math import isfinite
from typing import Any, TypeGuard

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, EnvironmentInfo, Role

from lawm_data.envs.suites import named_environment
from lawm_data.exchange.untrusted.arrays import action_bounds, checked_spec

DECLARED = {
    "env": "where the data comes from, such as walker-walk or gym:Pendulum-v1, to evaluate there",
    "action_repeat": "control steps per recorded step, 1 if not given",
    "low": "lower bound of every action, with high",
    "high": "upper bound of every action, with low",
}
"""Settings of every format of this family."""

UNRECORDED = {"actions": "how many numbers an action would have, where none are stored (1)"}
"""Setting of formats in which the actions of a whole file may be missing."""
UNRECORDED_NOTE = "no actions are stored: they are missing, and their shape is a setting (actions)"


def unrecorded_action(settings: Mapping[str, Any]) -> ArraySpec:
    """The spec of an action that was never recorded.

    Raises:
        ConfigError: a setting makes no sense.
    """
    width = whole(settings, "actions", 1, 10_000, 1)
    ends = declared_bounds(settings, width) or {}
    data = {"name": "action", "shape": (width,), "role": Role.action, **ends}
    return ArraySpec.parse(data, "actions")


def require_none(settings: Mapping[str, Any], names: Iterable[str], of: str) -> None:
    """Refuse settings that say nothing to what is asked for.

    Args:
        settings: of the format.
        names: those that are refused.
        of: what they belong to, such as ``exports``.

    Raises:
        ConfigError: one of them is given.
    """
    for name in names:
        if name in settings:
            raise ConfigError(f"is a setting of {of}", name, "leave it out")


def declared_environment(settings: Mapping[str, Any]) -> EnvironmentInfo | None:
    """Where the data comes from, when it was declared.

    Raises:
        ConfigError: the settings make no sense, or there is no such environment.
    """
    if "env" not in settings:
        if "action_repeat" in settings:
            raise ConfigError("belongs to an environment", "action_repeat", "give env, too")
        return None
    return named_environment(settings["env"], settings.get("action_repeat", 1))


def declared_bounds(settings: Mapping[str, Any], size: int) -> dict[str, tuple[float, ...]] | None:
    """Bounds of an action of some size, when they were declared.

    Raises:
        ConfigError: one without the other, or not numbers in this order.
    """
    if "low" not in settings and "high" not in settings:
        return None
    low, high = settings.get("low"), settings.get("high")
    if not (_is_number(low) and _is_number(high) and low < high):
        raise ConfigError(f"low {low} and high {high}", "bounds", "give two numbers, low < high")
    return {"low": (float(low),) * size, "high": (float(high),) * size}


def declared_action(
    settings: Mapping[str, Any],
    shape: tuple[int, ...],
    dtype: np.dtype,
    where: str,
    recorded: Iterable[np.ndarray],
) -> ArraySpec:
    """The spec of an action whose bounds are declared, or follow from the recorded actions.

    Args:
        settings: of the format.
        shape: of one action.
        dtype: its plain type.
        where: for messages.
        recorded: all actions; looked at when no bounds are declared. See ``action_bounds``.

    Raises:
        ConfigError: the declared bounds make no sense.
        CorpusError: the shape cannot be that of an array of a corpus.
    """
    size = int(np.prod(shape))
    bounds = declared_bounds(settings, size)
    if bounds is None:
        bounds = action_bounds(recorded, size)
    return checked_spec("action", shape, dtype, Role.action, where, **bounds)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(settings: Mapping[str, Any], name: str, low: int, high: int, usual: int) -> int:
    """A whole number in [low, high].

    Raises:
        ConfigError: it is not one.
    """
    value = settings.get(name, usual)
    if type(value) is not int or not low <= value <= high:
        raise ConfigError(f"is {value!r}", name, f"give a whole number from {low} to {high}")
    return value


def listed(settings: Mapping[str, Any], name: str) -> list[str]:
    """Names that are given in a row, with commas between them; none when they are not given.

    Raises:
        ConfigError: not text, or empty.
    """
    value = settings.get(name)
    if value is None:
        return []
    found = value if isinstance(value, list) else str(value).split(",")
    found = [str(part).strip() for part in found]
    if not all(found):
        raise ConfigError(f"is {value!r}", name, "give names, with commas between them")
    return list(dict.fromkeys(found))


WITHOUT = {"without": "import: NAME,… that are left out unread, such as a camera that is damaged"}
"""The setting of formats that need not read what is not wanted."""


def kept(without: Sequence[str], names: Sequence[str], kind: str = "array") -> list[str]:
    """The names that are left when some are not wanted.

    Raises:
        ConfigError: there is no such name, or none is left.
    """
    for name in without:
        if name not in names:
            hint = f"there are {', '.join(names)}"
            raise ConfigError(f"there is no {kind} {name!r}", "without", hint)
    found = [name for name in names if name not in without]
    if not found:
        raise ConfigError("leaves nothing", "without", "keep one of them")
    return found


def wanted(settings: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, str]:
    """The arrays of observations without those that the setting ``without`` names.

    Args:
        settings: of the format.
        fields: place in the source of each array, by its name in a corpus; either is taken.

    Raises:
        ConfigError: there is no such array, or none is left.
    """
    names = {place: name for name, place in fields.items()}
    left = [names.get(word, word) for word in listed(settings, "without")]
    return {name: fields[name] for name in kept(left, list(fields))} if fields else {}


@contextmanager
def dispensable(name: str, among: Sized) -> Iterator[None]:
    """What is wrong with one of several observations can be helped by leaving it out."""
    try:
        yield
    except CorpusError as error:
        if len(among) < 2:
            raise
        hint = f"{error.hint}, or leave it out with --without {name}"
        raise CorpusError(error.what, error.where, hint) from None


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
    """One of several words; the first when the setting is not given.

    Raises:
        ConfigError: it is another one.
    """
    value = settings.get(name, options[0])
    if value not in options:
        raise ConfigError(f"is {value!r}", name, f"give one of {', '.join(options)}")
    return value
