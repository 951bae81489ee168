"""Reading what a user's environment observes: fields by name or one array, one robot or many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError

from lawm_data.envs.convert import not_finite, state_of
from lawm_data.envs.spaces import plain_name

ObservationLike = Mapping[str, Any] | Sequence[Any] | np.ndarray | float
"""Fields by name, nested or not, or one array; of one robot, or of N of them."""


class Observed(NamedTuple):
    """An observation as policies read it."""

    state: np.ndarray
    """(N, O) float32; N is 1 for one robot."""
    robots: int
    """N of a batch, 0 for one robot without that axis."""


def read_observation(
    observation: ObservationLike, specs: Sequence[ArraySpec], before: int | None = None
) -> Observed:
    """The state in an observation; see ``Policy.act``.

    Args:
        observation: what the environment gave.
        specs: the state fields, in order.
        before: the robots of the observation before; none at the beginning.

    Raises:
        ConfigError: a field is missing, of another shape or not finite, or there are more or fewer
            robots.
    """
    fields = specs
    if isinstance(observation, Mapping):
        arrays = _named(observation, specs)
    else:
        array = _array(observation, "observation")
        width = sum(spec.size for spec in specs)
        flat = ArraySpec(name="observation", shape=(width,))
        if len(specs) != 1 or not _robots(array.shape, specs[0].shape):
            specs = [flat]
        arrays = {specs[0].name: array}
    counts = [_counts(arrays[spec.name], spec) for spec in specs]
    possible = set.intersection(*counts)
    if not possible:
        what = "its fields are of different numbers of robots"
        shapes = ", ".join(f"{name}{list(array.shape)}" for name, array in arrays.items())
        raise ConfigError(what, "observation", f"give one robot's, or N of each; it has {shapes}")
    robots = min(possible) if before is None else before
    if robots not in possible:
        what = f"is of {_words(min(possible))}, after {_words(robots)}"
        raise ConfigError(what, "observation", "call reset() in between")
    whole = {s.name: arrays[s.name].reshape(robots or 1, *s.shape) for s in specs}
    state = state_of(whole, specs)
    bad = not_finite(state, fields)
    if bad is not None:
        where = _where(bad.field)
        if robots:
            where += f", robot{'s' * (len(bad.rows) > 1)} {', '.join(map(str, bad.rows))}"
        hint = "give finite numbers, or skip this reading: nothing of it was remembered"
        raise ConfigError("is not finite in float32", where, hint)
    return Observed(state, robots)


def _named(observation: Mapping[str, Any], specs: Sequence[ArraySpec]) -> dict[str, np.ndarray]:
    wanted = [spec.name for spec in specs]
    found = {name: leaf for name, leaf in _leaves(observation, "", wanted) if name in wanted}
    missing = [name for name in wanted if name not in found]
    if missing:
        known = ", ".join(plain_name(str(key)) for key in observation) or "nothing"
        what = f"there is no {missing[0]!r} among {known}"
        raise ConfigError(what, "observation", f"give {', '.join(wanted)}")
    return {name: _array(found[name], _where(name)) for name in wanted}


def _leaves(part: Any, name: str, wanted: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Values by the names that a corpus has for them, as ``envs.spaces.observation_parts``."""
    inside: Any = ()
    if isinstance(part, Mapping):
        inside = part.items()
    elif isinstance(part, tuple):
        inside = enumerate(part)
    if name and (plain_name(name) in wanted or not inside):
        yield plain_name(name), part
        return
    for key, value in inside:
        yield from _leaves(value, f"{name}.{key}" if name else str(key), wanted)


def _array(value: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise ConfigError("is no array of numbers", where, "give numbers")
    return array


def _counts(array: np.ndarray, spec: ArraySpec) -> set[int]:
    found = _robots(array.shape, spec.shape)
    if not found:
        one, many = (str(shape).replace("'", "") for shape in (spec.shape, ("N", *spec.shape)))
        hint = f"give {one} for one robot, or {many} for N"
        raise ConfigError(f"has shape {array.shape}", _where(spec.name), hint)
    return found


def _robots(shape: tuple[int, ...], one: tuple[int, ...]) -> set[int]:
    """How many robots an array can be of, as ``Observed.robots``.

    Where one number is expected its axis may be left out, as dm_control does.
    """
    found = set()
    for expected in {one, ()} if one == (1,) else {one}:
        if shape == expected:
            found.add(0)
        elif shape[1:] == expected and shape[:1] > (0,):
            found.add(shape[0])
    return found


def _where(name: str) -> str:
    return "observation" if name == "observation" else f"observation, field {name}"


def _words(robots: int) -> str:
    return f"a batch of {robots}" if robots else "one robot"
