"""Many trajectories on their way into a corpus, checked and hashed together where they can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, CorpusError, Manifest

from lawm_data.corpus.layout import layout_of, stored_dtype
from lawm_data.corpus.writing.blocks import Block
from lawm_data.corpus.writing.digest import block_digests
from lawm_data.corpus.writing.record import (
    Record,
    beyond_bounds,
    convertible,
    encode_metadata,
    held,
    make_record,
)

Given = Mapping[str, Any]
"""A trajectory as the arguments of ``make_record``."""


def make_records(manifest: Manifest, given: Sequence[Given]) -> Iterator[Record]:
    """``make_record`` of one trajectory after the other.

    Those of one length and of the same types are made together. Where anything is out of the
    ordinary they are made one by one, so that the first that is wrong is named.

    Raises:
        CorpusError: names the array that is wrong, and how.
    """
    records: list[Record | None] = [None] * len(given)
    groups: dict[tuple, list[int]] = {}
    for i, one in enumerate(given):
        kind = _kind(manifest, one)
        if kind is not None:
            groups.setdefault(kind, []).append(i)
    for places in groups.values():
        if len(places) > 1:
            some = _together(manifest, [given[i] for i in places])
            for i, record in zip(places, some, strict=False):
                records[i] = record
    for one, record in zip(given, records, strict=True):
        yield make_record(manifest, **one) if record is None else record


def _kind(manifest: Manifest, one: Given) -> tuple | None:
    """What trajectories that are made together share; None where one is to be made alone."""
    rewards, actions, observed = one["rewards"], one["actions"], one["action_observed"]
    length = len(rewards) if isinstance(rewards, np.ndarray) and rewards.ndim == 1 else 0
    due = [(one["observations"].get(spec.name), spec, length + 1) for spec in manifest.observations]
    due.append((rewards, ArraySpec(name="rewards", shape=()), length))
    due += [] if actions is None else [(actions, manifest.action, length)]
    kinds = []
    for array, spec, rows in due:
        if not isinstance(array, np.ndarray) or array.shape != (rows, *spec.shape):
            return None
        if not convertible(array.dtype, np.dtype(spec.dtype)):
            return None
        kinds.append(array.dtype)
    ends = isinstance(one["terminated"], bool) and isinstance(one["truncated"], bool)
    if not length or not ends or len(one["observations"]) != len(manifest.observations):
        return None
    if observed is not None:
        flags = isinstance(observed, np.ndarray) and observed.dtype == np.bool_
        if not flags or observed.shape != (length,) or actions is None or not observed.any():
            return None
    return length, actions is None, *kinds


def _together(manifest: Manifest, some: Sequence[Given]) -> list[Record]:
    """The records of trajectories of one kind; none where anything is wrong with one of them."""
    layout, length = layout_of(manifest), len(some[0]["rewards"])
    try:
        metadata = [encode_metadata(one["metadata"]) for one in some]
    except CorpusError:
        return []
    fields: dict[str, np.ndarray] = {}
    for spec in manifest.observations:
        fitted = _fitted(np.stack([one["observations"][spec.name] for one in some]), spec)
        if fitted is None:
            return []
        fields[spec.name] = fitted
    rewards = _fitted(np.stack([one["rewards"] for one in some]), ArraySpec(name="r", shape=()))
    if rewards is None:
        return []
    steps = np.zeros((len(some), length + 1, layout.width), "<f4")
    for spec, columns in layout.packed:
        steps[:, :, columns] = fields.pop(spec.name).reshape(len(some), length + 1, -1)
    steps[:, :-1, -1] = rewards
    recorded = some[0]["actions"] is not None
    observed, actions = np.full((len(some), length), recorded), None
    if recorded:
        values = np.stack([one["actions"] for one in some])
        for k, one in enumerate(some):
            if one["action_observed"] is not None:
                observed[k] = one["action_observed"]
        values[~observed] = 0  # nothing of a value that was not observed may reach the disk
        fitted = _fitted(values, layout.action)
        if fitted is None or beyond_bounds(fitted[observed], layout.action).any():
            return []
        actions = fitted.reshape(len(some), length, -1)
    done = [np.array([one[end] for one in some], bool) for end in ("terminated", "truncated")]
    contents, digests = block_digests(Block(steps, fields, actions, observed), layout, *done)
    return [
        Record(
            base_id=contents[k].tobytes().hex()[:16],
            digest=digests[k].tobytes(),
            steps=steps[k],
            fields={name: array[k] for name, array in fields.items()},
            actions=None if actions is None else actions[k],
            action_observed=observed[k],
            terminated=one["terminated"],
            truncated=one["truncated"],
            metadata=metadata[k],
        )
        for k, one in enumerate(some)
    ]


def _fitted(given: np.ndarray, spec: ArraySpec) -> np.ndarray | None:
    """Arrays in their stored type; None where this cannot hold a number of them."""
    with np.errstate(over="ignore", invalid="ignore"):
        fitted = given.astype(stored_dtype(spec))
    return fitted if held(given, fitted).all() else None
