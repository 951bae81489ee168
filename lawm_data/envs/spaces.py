"""Gymnasium spaces as arrays of a corpus, and samples of them as numbers.

| space | array |
|---|---|
| ``Box`` | of its type and shape; bounds where all are finite; uint8 images are pixels |
| ``Discrete(n, start)`` | int64 (), bounds start and start + n - 1 |
| ``MultiDiscrete(nvec, start)`` | int64 of the shape of nvec, bounds likewise |
| ``MultiBinary(n)`` | int8 (n,), bounds 0 and 1 |
| ``Dict``, ``Tuple`` | the arrays of their parts; names are joined with a dot |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, Role

CHANNELS = (1, 3, 4)
"""Last axis of an image."""
SMALLEST_IMAGE = 8
"""Pixels on a side; smaller blocks of bytes are not taken for images."""


class Part(NamedTuple):
    """One array of a space."""

    path: tuple[str | int, ...]
    """Keys that lead to it."""
    spec: ArraySpec
    """How a corpus stores it."""

    def of(self, sample: Any) -> np.ndarray:
        """A copy of its numbers in a sample of the space, in the spec's shape and type."""
        for key in self.path:
            sample = sample[key]
        return np.array(sample, self.spec.dtype).reshape(self.spec.shape)


def observation_parts(space: Any, where: str, single: bool = False) -> tuple[Part, ...]:
    """The arrays of an observation space.

    Args:
        space: a Gymnasium space.
        where: for messages.
        single: store float64 as float32.

    Raises:
        ConfigError: a part is no array of numbers.
    """
    found = []
    for path, part in _leaves(space, (), where):
        name = ".".join(map(str, path)) or "observation"
        spec = _spec(part, plain_name(name), Role.state, where)
        if spec.dtype == "uint8" and _is_image(spec.shape):
            spec = ArraySpec(name=spec.name, shape=spec.shape, dtype="uint8", role=Role.pixels)
        elif single and spec.dtype == "float64":
            spec = spec.model_copy(update={"dtype": "float32"})
        found.append(Part(path, spec))
    names = [part.spec.name for part in found]
    if not names or len(set(names)) != len(names):
        raise ConfigError(
            f"observes {', '.join(names) or 'nothing'}", where, "name its parts apart"
        )
    return tuple(found)


def action_spec(space: Any, where: str, single: bool = False) -> ArraySpec:
    """The array of an action space.

    Raises:
        ConfigError: it is no single array of numbers.
    """
    spec = _spec(space, "action", Role.action, where)
    if single and spec.dtype == "float64":
        return spec.model_copy(update={"dtype": "float32"})
    return spec


def _leaves(
    space: Any, path: tuple[str | int, ...], where: str
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    parts = getattr(space, "spaces", None)
    if isinstance(parts, Mapping):
        for key, part in parts.items():
            yield from _leaves(part, (*path, key), where)
    elif isinstance(parts, Sequence):
        for i, part in enumerate(parts):
            yield from _leaves(part, (*path, i), where)
    else:
        yield path, space


def _spec(space: Any, name: str, role: Role, where: str) -> ArraySpec:
    spaces: Any = import_module("gymnasium.spaces")
    if isinstance(space, spaces.Box):
        finite = bool(np.isfinite(space.low).all() and np.isfinite(space.high).all())
        ends = (space.low, space.high) if finite and space.dtype != np.uint8 else None
        return _checked(name, space.shape, space.dtype, role, ends, where)
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        ends = np.array(start), np.array(start + int(space.n) - 1)
        return _checked(name, (), np.dtype("int64"), role, ends, where)
    if isinstance(space, spaces.MultiDiscrete):
        ends = space.start, space.start + space.nvec - 1
        return _checked(name, space.shape, np.dtype("int64"), role, ends, where)
    if isinstance(space, spaces.MultiBinary):
        ends = np.zeros(space.shape), np.ones(space.shape)
        return _checked(name, space.shape, np.dtype("int8"), role, ends, where)
    what = f"{role.value} space is a {type(space).__name__}"
    raise ConfigError(what, where, "only arrays of numbers can be kept; wrap the environment")


def _checked(
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
    role: Role,
    ends: tuple[np.ndarray, np.ndarray] | None,
    where: str,
) -> ArraySpec:
    data: dict[str, Any] = {"name": name, "shape": shape, "dtype": dtype.name, "role": role}
    if ends is not None:
        low, high = (tuple(np.asarray(end, np.float64).ravel().tolist()) for end in ends)
        data |= {"low": low, "high": high}
    return ArraySpec.parse(data, where)


def plain_name(name: str) -> str:
    """A name as arrays of a corpus have them."""
    kept = "".join(c if c.isalnum() or c in "_-." else "_" for c in name)
    return kept.lstrip(".")[:100] or "_"


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[2] in CHANNELS and min(shape[:2]) >= SMALLEST_IMAGE
