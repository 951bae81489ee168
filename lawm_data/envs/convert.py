"""Between an environment and a policy: observations to vectors, and vectors to actions.

Everything that acts goes through these two: recording, evaluation, and a policy in a user's loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError


def state_of(observations: Mapping[str, np.ndarray], specs: Iterable[ArraySpec]) -> np.ndarray:
    """State fields, each (N, *shape), as what a policy reads: (N, O) float32.

    They are flattened and concatenated in the order of the specs; without any, O is 0.
    """
    fields = [observations[spec.name] for spec in specs]
    if not fields:  # of an environment that shows pictures alone
        return np.zeros((len(next(iter(observations.values()))), 0), np.float32)
    flat = [field.reshape(len(field), -1) for field in fields]
    with np.errstate(over="ignore"):  # infinite then, which who acts on it refuses
        return np.concatenate(flat, axis=1, dtype=np.float32, casting="unsafe")


class NotFinite(NamedTuple):
    """Where a state holds numbers that no policy may see: a recurrent one would keep them."""

    field: str
    """The first field that has some."""
    rows: tuple[int, ...]
    """The rows that have some in any field."""


def not_finite(state: np.ndarray, specs: Sequence[ArraySpec]) -> NotFinite | None:
    """What is infinite or no number in a state of ``state_of``; None where all is finite."""
    bad = ~np.isfinite(state)
    if not bad.any():
        return None
    ends = np.cumsum([spec.size for spec in specs])
    first = int(np.searchsorted(ends, bad.any(0).argmax(), side="right"))
    return NotFinite(specs[first].name, tuple(np.flatnonzero(bad.any(1)).tolist()))


def nearest(chosen: np.ndarray, spec: ArraySpec, where: str) -> np.ndarray:
    """The actions (N, *shape) of a spec that are nearest to what a policy chose, (N, …).

    They are within the bounds. A policy that knows only continuous actions chooses among discrete
    ones by their number.

    Args:
        chosen: what the policy returned.
        spec: the action of the environment.
        where: for messages.

    Raises:
        ConfigError: the policy's choice is not finite, or of another size.
    """
    chosen = np.asarray(chosen)
    if not np.isfinite(chosen).all():
        raise ConfigError(
            "the policy returned an action that is not finite",
            where,
            "check the policy's weights and its observations",
        )
    if chosen.size != len(chosen) * spec.size:
        what = f"actions have shape {chosen.shape}, expected {(len(chosen), *spec.shape)}"
        raise ConfigError(what, where, "use a policy made for this task")
    shaped, dtype = chosen.reshape(len(chosen), *spec.shape), np.dtype(spec.dtype)
    if dtype.kind == "b":
        return shaped > 0.5
    bounds = inner_bounds(spec)
    whole = shaped if dtype.kind == "f" else np.rint(shaped)
    return (whole if bounds is None else np.clip(whole, *bounds)).astype(dtype)


def inner_bounds(spec: ArraySpec) -> tuple[np.ndarray, np.ndarray] | None:
    """The least and the greatest number of an action's type within its bounds, each (*shape).

    The bound 0.1 of an environment in float64 is exceeded by its own rounding to float32. Those of
    whole numbers are in float64. None where there are no bounds.
    """
    bounds, dtype = spec.bounds(), np.dtype(spec.dtype)
    if bounds is None or dtype.kind != "f":
        return bounds
    with np.errstate(over="ignore"):  # beyond all numbers of the type, and infinite there
        low, high = (bound.astype(dtype) for bound in bounds)
    upward = np.nextafter(low, dtype.type("inf"))
    downward = np.nextafter(high, dtype.type("-inf"))
    return np.where(low < bounds[0], upward, low), np.where(high > bounds[1], downward, high)
