"""The Gymnasium space of an array of a corpus, and how its numbers are stored there.

| array | space |
|---|---|
| bounded int64 scalar | ``Discrete`` |
| bounded int64 vector that is an action | ``MultiDiscrete`` |
| bool scalar | ``Discrete(2)`` |
| other bools | ``MultiBinary`` as an action, else ``Box`` of int8 |
| anything else | ``Box`` of its type; a scalar has one element, for readers that take no other |
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, Role


def space_of(spec: ArraySpec) -> Any:
    """The space of one step of an array."""
    spaces: Any = import_module("gymnasium.spaces")
    ends, dtype = _ends(spec), _stored_dtype(spec)
    if _is_discrete(spec):
        return spaces.Discrete(int(ends[1] - ends[0] + 1), start=int(ends[0]))
    if spec.role is Role.action and spec.dtype == "bool":
        return spaces.MultiBinary(spec.shape)
    if spec.role is Role.action and spec.dtype == "int64" and spec.low and len(spec.shape) == 1:
        return spaces.MultiDiscrete(ends[1] - ends[0] + 1, start=ends[0])
    low, high = (np.broadcast_to(end, spec.shape or (1,)).astype(dtype) for end in ends)
    return spaces.Box(low, high, dtype=dtype.type)


def _is_discrete(spec: ArraySpec) -> bool:
    bounded = spec.dtype == "int64" and spec.bounds() is not None
    return not spec.shape and (spec.dtype == "bool" or bounded)


def _stored_dtype(spec: ArraySpec) -> np.dtype:
    """Bools are small integers, but a ``Discrete`` is int64."""
    if spec.dtype == "bool":
        return np.dtype(np.int8 if spec.shape else np.int64)
    return np.dtype(spec.dtype)


def _ends(spec: ArraySpec) -> tuple[Any, Any]:
    """Bounds, or the ends of the type."""
    dtype, bounds = np.dtype(spec.dtype), spec.bounds()
    if dtype.kind == "b":
        return 0, 1
    if bounds is not None:
        low, high = (bound.astype(dtype) for bound in bounds)
        return low, high
    if dtype.kind == "f":
        return -np.inf, np.inf
    return np.iinfo(dtype).min, np.iinfo(dtype).max


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
