"""The Gymnasium space of an array of a corpus, and how its numbers are stored."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec


def space_of(spec: ArraySpec) -> Any:
    """The space of one step of an array.

    A bounded int64 scalar is ``Discrete``, a bounded int64 vector ``MultiDiscrete``, bools are
    ``Discrete(2)`` and ``MultiBinary``; all else is a ``Box``.
    """
    spaces: Any = import_module("gymnasium.spaces")
    if spec.dtype == "bool":
        return spaces.MultiBinary(spec.shape) if spec.shape else spaces.Discrete(2)
    bounds = spec.bounds()
    if spec.dtype == "int64" and bounds is not None and len(spec.shape) < 2:
        low, high = (bound.astype(np.int64) for bound in bounds)
        if not spec.shape:
            return spaces.Discrete(int(high - low + 1), start=int(low))
        return spaces.MultiDiscrete(high - low + 1, start=low)
    dtype = np.dtype(spec.dtype)
    if bounds is None:
        ends = (-np.inf, np.inf)
        if dtype.kind in "iu":
            ends = (np.iinfo(dtype).min, np.iinfo(dtype).max)
        return spaces.Box(*ends, shape=spec.shape, dtype=dtype.type)
    low, high = (bound.astype(dtype) for bound in bounds)
    return spaces.Box(low, high, shape=spec.shape, dtype=dtype.type)


def stored(array: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """The numbers in the type of their space."""
    if spec.dtype == "bool":
        return array.astype(np.int8 if spec.shape else np.int64)
    return array


def restored(array: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """``stored``, undone; other types than that are left as they are, to be refused."""
    kind = np.dtype(np.int8 if spec.shape else np.int64)
    if spec.dtype == "bool" and array.dtype == kind and ((array == 0) | (array == 1)).all():
        return array.astype(bool)
    return array


def unknown(spec: ArraySpec) -> Any:
    """What stands in a stored action that is not observed: NaN.

    Integers have none. There it is the number of the type that is farthest below, outside of any
    ``Discrete`` or ``MultiBinary``, and the largest one of unsigned types: code that overlooks
    ``action_observed`` fails, and does not learn from zeros.
    """
    if spec.dtype == "bool":
        return np.iinfo(np.int8 if spec.shape else np.int64).min
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return np.nan
    info = np.iinfo(dtype)
    return info.min if dtype.kind == "i" else info.max
