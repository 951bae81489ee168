"""Gymnasium spaces, as Minari writes them, and the arrays of a corpus.

| space | array |
|---|---|
| ``Box`` | of its type and shape; bounds where all are finite |
| ``Discrete(n, start)`` | int64 (), bounds start and start + n - 1 |
| ``MultiDiscrete(nvec, start)`` | int64 of the shape of nvec, bounds likewise |
| ``MultiBinary(n)`` | int8 (n,), bounds 0 and 1 |
| ``Dict``, ``Tuple`` | the arrays of their parts; names are joined with a dot |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from math import prod
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, CorpusError, Role
from lawm_schemas.arrays import PICTURES

from lawm_data.envs.spaces import plain_name
from lawm_data.exchange.formats.minari.metadata import HINT
from lawm_data.exchange.untrusted.arrays import CHANNELS, SMALLEST_IMAGE, checked_spec, plain_dtype

LARGEST = 1 << 31
"""Elements of one step of an array; a space with more is not believed."""
DEEPEST = 32
"""Nesting of spaces."""
JPEG_EDGE = 32
"""Minari takes uint8 arrays of two or three axes for images from this size on."""
_TYPE = re.compile(r"(bool|u?int(8|16|32|64)|float(16|32|64))")


class Leaf(NamedTuple):
    """One array of a space."""

    place: str
    """Where it lies, such as ``observations/hand/_index_0``."""
    spec: ArraySpec
    """What it is in a corpus."""
    shape: tuple[int, ...]
    """Of one step, as it is stored; differs from the spec's for images."""
    jpeg: bool
    """Whether Minari would store it as JPEG."""

    @property
    def name(self) -> str:
        """What it is called."""
        return self.spec.name


class Unfit(NamedTuple):
    """A part of a space that is no array of a corpus."""

    place: str
    name: str
    kind: str
    fault: CorpusError | None
    """What is wrong with an array of numbers; None for what holds none, such as texts."""


def leaves(space: Any, place: str, name: str, role: Role, where: str) -> Iterator[Leaf | Unfit]:
    """The arrays of a space.

    Args:
        space: plain data.
        place: where it lies in an episode.
        name: what it is called.
        role: ``state`` or ``action``; images are found out.
        where: for messages.

    Raises:
        CorpusError: the space is damaged, so that its parts are not known.
    """
    yield from _walk(space, place, (), name, role, where, 0)


def _walk(
    space: Any, place: str, path: tuple[str, ...], name: str, role: Role, where: str, depth: int
) -> Iterator[Leaf | Unfit]:
    kind = space.get("type") if isinstance(space, Mapping) else None
    if not isinstance(kind, str) or depth > DEEPEST:
        raise CorpusError("is not a space", where, HINT)
    if kind in ("Dict", "Tuple"):
        for key, stored, part in _parts(space, kind, where):
            inner = (*path, key)
            yield from _walk(part, f"{place}/{stored}", inner, name, role, where, depth + 1)
        return
    called = plain_name(".".join(path)) if path else name
    if kind not in ("Box", "Discrete", "MultiDiscrete", "MultiBinary"):
        yield Unfit(place, called, kind, None)
        return
    where = f"{where}: {place}"
    try:
        leaf = _leaf(_array(kind, space), place, called, role, where)
    except CorpusError as error:
        leaf = Unfit(place, called, kind, error)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        fault = CorpusError(f"is a damaged {kind} ({error})"[:200], where, HINT)
        leaf = Unfit(place, called, kind, fault)
    yield leaf


def _parts(space: Mapping[str, Any], kind: str, where: str) -> Iterator[tuple[str, str, Any]]:
    parts = space.get("subspaces")
    if kind == "Dict" and isinstance(parts, Mapping):
        for key, part in parts.items():
            if not key or key.strip(".") == "" or "\0" in key:
                raise CorpusError(f"has a part called {key!r}", where, HINT)
            yield key, key, part
    elif kind == "Tuple" and isinstance(parts, list):
        for i, part in enumerate(parts):
            yield str(i), f"_index_{i}", part
    else:
        raise CorpusError(f"is a {kind} without parts", where, HINT)


class _Array(NamedTuple):
    dtype: np.dtype
    shape: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray

    def bounds(self) -> dict[str, Any]:
        """Bounds, where all of them are numbers that a float holds exactly."""
        low, high = (bound.astype(np.float64).ravel() for bound in (self.low, self.high))
        limit = np.finfo(self.dtype).max if self.dtype.kind == "f" else 2.0**53
        finite = (np.isfinite(low) & np.isfinite(high)).all()
        if not finite or max(abs(low).max(), abs(high).max()) > limit:
            return {}
        return {"low": tuple(low.tolist()), "high": tuple(high.tolist())}


def _array(kind: str, space: Mapping[str, Any]) -> _Array:
    """The array of a space without parts; a damaged one raises what numpy and Python raise."""
    if kind == "Box":
        if not _TYPE.fullmatch(str(space["dtype"])):
            raise ValueError(f"type {space['dtype']!r}"[:100])
        shape = _shape(space["shape"])
        low, high = (np.asarray(space[key], np.float64).reshape(shape) for key in ("low", "high"))
        return _Array(np.dtype(space["dtype"]), shape, low, high)
    if kind == "MultiBinary":
        n = space["n"]
        shape = _shape([n] if isinstance(n, int) else n)
        return _Array(np.dtype(np.int8), shape, np.zeros(shape), np.ones(shape))
    if kind == "Discrete":
        n, start = space["n"], space.get("start", 0)
        if type(n) is not int or type(start) is not int or n < 1:
            raise ValueError(f"n {n!r}, start {start!r}"[:100])
        return _Array(np.dtype(np.int64), (), np.array(start), np.array(start + n - 1))
    nvec = np.asarray(space["nvec"])
    start = np.asarray(space.get("start", np.zeros_like(nvec)))
    if nvec.dtype.kind not in "iu" or start.dtype.kind not in "iu" or nvec.min() < 1:
        raise ValueError("nvec")
    return _Array(np.dtype(np.int64), _shape(nvec.shape), start, start + nvec - 1)


def _shape(given: Any) -> tuple[int, ...]:
    shape = tuple(given)
    if any(type(n) is not int or n < 1 for n in shape) or len(shape) > 8 or prod(shape) > LARGEST:
        raise ValueError(f"shape {given}"[:100])
    return shape


def _leaf(array: _Array, place: str, name: str, role: Role, where: str) -> Leaf:
    dtype, shape = plain_dtype(array.dtype, where), array.shape
    jpeg = dtype == np.uint8 and len(shape) in (2, 3) and min(shape[:2]) >= JPEG_EDGE
    jpeg = jpeg and bool((array.low == 0).all() and (array.high == 255).all())
    if role is Role.state and dtype.name in PICTURES and image_axes(shape) is not None:
        spec = checked_spec(name, as_image(shape), dtype, Role.pixels, where)
    else:
        spec = checked_spec(name, shape, dtype, role, where, **array.bounds())
    return Leaf(place, spec, shape, jpeg)


def image_axes(shape: tuple[int, ...]) -> str | None:
    """``hwc``, ``chw`` or ``hw`` for bytes in the shape of an image; None for others."""
    if len(shape) == 3 and shape[2] in CHANNELS and min(shape[:2]) >= SMALLEST_IMAGE:
        return "hwc"
    if len(shape) == 3 and shape[0] in CHANNELS and min(shape[1:]) >= SMALLEST_IMAGE:
        return "chw"
    return "hw" if len(shape) == 2 and min(shape) >= JPEG_EDGE else None


def as_image(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an image as (height, width, channels)."""
    axes = image_axes(shape)
    if axes == "chw":
        return (*shape[1:], shape[0])
    return (*shape, 1) if axes == "hw" else shape


def space_of(spec: ArraySpec) -> Any:
    """The space of one step of an array."""
    spaces: Any = import_module("gymnasium.spaces")
    dtype, bounds = np.dtype(spec.dtype), spec.bounds()
    low: Any
    high: Any
    if dtype.kind == "b":
        low, high = 0, 1
    elif bounds is not None:
        low, high = (bound.astype(dtype) for bound in bounds)
    elif dtype.kind == "f":
        low, high = -np.inf, np.inf
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if _is_discrete(spec):
        return spaces.Discrete(int(high - low + 1), start=int(low))
    if spec.role is Role.action and spec.dtype == "bool":
        return spaces.MultiBinary(spec.shape)
    if spec.role is Role.action and spec.dtype == "int64" and spec.low and len(spec.shape) == 1:
        return spaces.MultiDiscrete(high - low + 1, start=low)
    stored = _stored_dtype(spec)
    low, high = (np.broadcast_to(end, spec.shape or (1,)).astype(stored) for end in (low, high))
    return spaces.Box(low, high, dtype=stored.type)


def _is_discrete(spec: ArraySpec) -> bool:
    bounded = spec.dtype == "int64" and spec.bounds() is not None
    return not spec.shape and (spec.dtype == "bool" or bounded)


def _stored_dtype(spec: ArraySpec) -> np.dtype:
    """Bools are small integers, but a ``Discrete`` is int64."""
    if spec.dtype == "bool":
        return np.dtype(np.int8 if spec.shape else np.int64)
    return np.dtype(spec.dtype)


def stored(array: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """Rows of an array, (rows, *shape), as its space has them."""
    shape = () if _is_discrete(spec) else spec.shape or (1,)
    return array.astype(_stored_dtype(spec), copy=False).reshape(len(array), *shape)


def restored(array: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """``stored``, undone; what it cannot have made is left as it is, to be refused."""
    if array.ndim == 2 and array.shape[1] == 1 and not spec.shape:
        array = array[:, 0]
    whole = spec.dtype == "bool" and array.dtype == _stored_dtype(spec)
    return array.astype(bool) if whole and ((array == 0) | (array == 1)).all() else array


def unknown(spec: ArraySpec) -> Any:
    """What stands in a stored action that is not observed: NaN.

    Integers have none. There it is the number of the type that is farthest below, outside of any
    ``Discrete`` or ``MultiBinary``, and the largest one of unsigned types: code that overlooks
    ``action_observed`` fails, and does not learn from zeros.
    """
    dtype = _stored_dtype(spec)
    if dtype.kind == "f":
        return np.nan
    info = np.iinfo(dtype)
    return info.min if dtype.kind == "i" else info.max
