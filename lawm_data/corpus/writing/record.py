"""One trajectory on its way into a corpus: checked, in stored types, with its hashes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, CorpusError, Manifest

from lawm_data.corpus.layout import layout_of, stored_dtype
from lawm_data.corpus.writing.digest import content_hash, full_digest
from lawm_data.system.hdf5 import ChunkedField

BOUNDS_TOLERANCE = 1e-6
"""Relative slack of the action bounds: what rounding to float32 can do, and no more."""


@dataclass(frozen=True, eq=False)
class Record:
    """The arrays of a trajectory as a shard stores them."""

    base_id: str
    """Hash of observations and rewards; the writer adds a suffix when it is taken."""
    digest: bytes
    """sha256 of everything, actions included."""
    steps: np.ndarray
    """(T+1, W) float32."""
    fields: Mapping[str, np.ndarray | ChunkedField]
    """(T+1, *shape), by name; pixels that are in a shard already are read when they are needed."""
    actions: np.ndarray | None
    """(T, A); zero where not observed."""
    action_observed: np.ndarray
    """(T,) bool."""
    terminated: bool
    truncated: bool
    metadata: bytes

    def __len__(self) -> int:
        return len(self.steps) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, uncompressed."""
        size = self.steps.nbytes + sum(field.nbytes for field in self.fields.values())
        return size + (0 if self.actions is None else self.actions.nbytes)


def make_record(
    manifest: Manifest,
    observations: Mapping[str, Any],
    rewards: Any,
    actions: Any,
    action_observed: Any,
    terminated: Any,
    truncated: Any,
    metadata: Mapping[str, Any] | None,
) -> Record:
    """Check a trajectory against the specs of a corpus and copy it into stored types.

    Raises:
        CorpusError: names the array that is wrong, and how.
    """
    layout = layout_of(manifest)
    names = [spec.name for spec in manifest.observations]
    if not isinstance(observations, Mapping):
        what = f"is a {type(observations).__name__}, not arrays by name"
        raise CorpusError(what, "observations", f"give a dict of {', '.join(names)}")
    if set(observations) != set(names):
        odd = ", ".join(sorted(set(names) ^ set(observations)))
        raise CorpusError(f"fields differ from the corpus: {odd}", "observations", "match them")
    reward = np.asarray(rewards)
    if reward.ndim != 1 or len(reward) < 1:
        raise CorpusError(f"has shape {reward.shape}", "rewards", "give (T,) with T at least 1")
    if reward.dtype.kind in "iu":  # a reward is a measure, and may be rounded like any other
        reward = reward.astype(np.float64)
    length = len(reward)
    # all arrays are seen to fit before room is made: a foreign spec may declare any shape
    fields = {
        spec.name: _fit(observations[spec.name], spec, length + 1, spec.name)
        for spec in manifest.observations
    }
    steps = np.zeros((length + 1, layout.width), "<f4")
    for spec, columns in layout.packed:
        steps[:, columns] = fields.pop(spec.name).reshape(length + 1, -1)
    steps[:-1, -1] = _fit(reward, ArraySpec(name="rewards", shape=()), length, "rewards")
    done = {
        name: _last_flag(flag, length, name)
        for name, flag in (("terminated", terminated), ("truncated", truncated))
    }
    stored, observed = _stored_actions(actions, action_observed, layout.action, length)
    content = content_hash(steps, fields, layout)
    return Record(
        base_id=content.hexdigest()[:16],
        digest=full_digest(content, stored, observed, **done),
        steps=steps,
        fields=fields,
        actions=stored,
        action_observed=observed,
        **done,
        metadata=encode_metadata(metadata),
    )


def _fit(array: Any, spec: ArraySpec, rows: int, where: str) -> np.ndarray:
    """The array in the type and shape of its spec, or a clear refusal."""
    try:
        given = np.asarray(array)
    except ValueError:
        raise CorpusError("is ragged", where, f"give {(rows, *spec.shape)}") from None
    if given.shape != (rows, *spec.shape):
        hint = f"give {(rows, *spec.shape)} (T+1 observations, T actions and rewards)"
        raise CorpusError(f"has shape {given.shape}", where, hint)
    if not convertible(given.dtype, np.dtype(spec.dtype)):
        raise CorpusError(f"has type {given.dtype}", where, f"give {spec.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        fitted = given.astype(stored_dtype(spec))
    if given.dtype.kind in "fiu":
        _check_values(given, fitted, where)
    return fitted


def convertible(given: np.dtype, wanted: np.dtype) -> bool:
    """Whether numbers of a type may be stored as those of another one."""
    if wanted.kind == "b" or given.kind == "b":
        return given.kind == wanted.kind
    return given.kind in ("fiu" if wanted.kind == "f" else "iu")


def held(given: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Which numbers are finite and the ones that were given; only floats may be rounded.

    Args:
        given: numbers.
        fitted: the same in a type that ``convertible`` allows.
    """
    if fitted.dtype.kind != "f":
        return fitted == given
    good = np.isfinite(fitted)
    if given.dtype.kind in "iu":
        # the way back shows what was lost, but the largest number of a type may round out of it
        inside = fitted < float(np.iinfo(given.dtype).max) + 1
        good &= inside & (np.where(inside, fitted, 0).astype(given.dtype) == given)
    return good


def _check_values(given: np.ndarray, fitted: np.ndarray, where: str) -> None:
    """Refuse what is not finite, and what the stored type cannot hold."""
    good = held(given, fitted)
    if not good.all():
        at = tuple(int(i) for i in np.argwhere(~good)[0])
        number = f"{given[at]:g}" if given.dtype.kind == "f" else str(given[at])
        finite = np.isfinite(given[at])
        what = f"does not fit {fitted.dtype.name}" if finite else "is not a finite number"
        raise CorpusError(f"{number} at {list(at)} {what}", where, "repair or leave it out")


def _last_flag(flag: Any, length: int, name: str) -> bool:
    array = np.asarray(flag)
    if array.dtype.kind != "b" or array.shape not in ((), (length,)):
        hint = f"give one bool, or ({length},) of them"
        raise CorpusError(f"has type {array.dtype} and shape {array.shape}", name, hint)
    if array.ndim and array[:-1].any():
        hint = "end the trajectory there"
        raise CorpusError(f"is true at step {int(np.argmax(array))} of {length}", name, hint)
    return bool(array[-1] if array.ndim else array)


def _stored_actions(
    actions: Any, action_observed: Any, spec: ArraySpec, length: int
) -> tuple[np.ndarray | None, np.ndarray]:
    """Actions (T, A) with zeros where not observed, or None when not one is observed."""
    where = "actions"
    observed = np.full(length, actions is not None)
    if action_observed is not None:
        observed = np.array(action_observed)
        if observed.dtype.kind != "b" or observed.shape != (length,):
            raise CorpusError(
                f"has type {observed.dtype} and shape {observed.shape}",
                "action_observed",
                f"give ({length},) bools",
            )
    if actions is None:
        if observed.any():
            hint = "give the actions or leave action_observed out"
            raise CorpusError("some actions are observed, but there are none", where, hint)
        return None, observed
    given = np.asarray(actions)
    if given.shape != (length, *spec.shape):
        hint = f"give {(length, *spec.shape)}, one for each of {length} rewards"
        raise CorpusError(f"has shape {given.shape}", where, hint)
    fitted = np.zeros((length, *spec.shape), stored_dtype(spec))
    # Nothing of a value that was not observed may reach the disk.
    fitted[observed] = _fit(given[observed], spec, int(observed.sum()), where)
    _check_bounds(fitted[observed], spec, np.flatnonzero(observed))
    return (fitted.reshape(length, -1) if observed.any() else None), observed


def _check_bounds(actions: np.ndarray, spec: ArraySpec, steps: np.ndarray) -> None:
    outside = beyond_bounds(actions, spec)
    bounds = spec.bounds()
    if bounds is not None and outside.any():
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        low, high = (float(bound[at[1:]]) for bound in bounds)
        raise CorpusError(
            f"{actions[at]:g} at step {steps[at[0]]} is outside [{low:g}, {high:g}]",
            "actions",
            "clip or rescale them to the bounds of the action spec",
        )


def beyond_bounds(actions: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """Which elements of actions (n, *shape) are outside the bounds of their spec."""
    bounds = spec.bounds()
    if bounds is None:
        return np.zeros(actions.shape, bool)
    low, high = bounds
    slack = BOUNDS_TOLERANCE * np.maximum(1, np.abs(bounds))
    return (actions < low - slack[0]) | (actions > high + slack[1])


def encode_metadata(metadata: Mapping[str, Any] | None) -> bytes:
    """Metadata as a shard stores them.

    Raises:
        CorpusError: they are not plain JSON.
    """
    if not metadata:
        return b""
    try:
        return json.dumps(dict(metadata), allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise CorpusError(f"is not plain JSON ({error})", "metadata", "keep it plain") from None
