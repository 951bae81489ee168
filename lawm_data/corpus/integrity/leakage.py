"""Trajectories that two corpora share, such as one to train on and one to validate on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, Role

from lawm_data.corpus.agreement import same_under_another_name, wider
from lawm_data.corpus.integrity.validate import NAMED, Finding
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.store import Store, open_store


class Leakage(NamedTuple):
    """Pairs of ids: of the corpus, and of the one that it is held against."""

    equal: list[tuple[str, str]]
    """The same observations, bit for bit in the narrower of two types of floats, whatever is known
    of actions and rewards. Arrays that only one corpus has are not compared, nor states of the
    simulator; a state of one array is the same under any of the ``GENERIC`` names."""
    near: list[tuple[str, str]]
    """Other content, but the same task, source, seed of the source and seed of the reset."""
    compared: list[str]
    """The arrays that both have, by their names in the corpus; without one nothing is equal."""


def leakage(path: str | Path, against: str | Path) -> Leakage:
    """Trajectories of a corpus that are in another one, too.

    Raises:
        LawmError: one of them cannot be opened.
    """
    here, there = open_store(Path(path)), open_store(Path(against))
    shared = _shared(here, there)
    ours = _contents(here, [(one.here, one.dtype) for one in shared])
    theirs = _contents(there, [(one.there, one.dtype) for one in shared])
    equal = dict(_pairs(ours, theirs))
    near = _pairs(_origins(here), _origins(there))
    return Leakage(
        [(_name(here, a), _name(there, b)) for a, b in equal.items()],
        [(_name(here, a), _name(there, b)) for a, b in near if a not in equal],
        [one.here for one in shared],
    )


def shared_content(
    path: str | Path, places: Sequence[int], against: str | Path, there: Sequence[int]
) -> list[int]:
    """Which of some trajectories of a corpus are among some of another one.

    Args:
        path: the corpus.
        places: of trajectories in it.
        against: the other corpus.
        there: places of trajectories in that one.

    Returns:
        Those ``places`` that have the same observations as one ``there``, as in
        ``Leakage.equal``.

    Raises:
        LawmError: one of them cannot be opened.
    """
    one, other = open_store(Path(path)), open_store(Path(against))
    arrays = _shared(one, other)
    ours = _contents(one, [(each.here, each.dtype) for each in arrays], places)
    theirs = _contents(other, [(each.there, each.dtype) for each in arrays], there)
    known = set(theirs) - {None}
    return [place for place, content in zip(places, ours, strict=True) if content in known]


def leakage_findings(path: str | Path, against: str | Path, found: Leakage) -> Iterator[Finding]:
    """Shared trajectories as errors, near ones as a warning; an error where none was compared."""
    if not found.compared:
        what = f"has no array of observations of one name and shape with {against}"
        mend = "give arrays of one meaning one name (lawm-data edit --rename)"
        yield Finding("error", str(path), f"{what}: nothing was compared", mend)
    hint = "keep it in one of them only"
    for a, b in found.equal[:NAMED]:
        where = f"{path}: trajectory {a}"
        yield Finding("error", where, f"is in {against}, too, as {b}", hint)
    if len(found.equal) > NAMED:
        yield Finding("error", str(path), f"{len(found.equal) - NAMED} more of these", hint)
    if found.near:
        what = f"{len(found.near)} trajectories have source and seeds of others in {against}"
        yield Finding("warning", str(path), what, "collect with another seed")


class _Shared(NamedTuple):
    """An array that both corpora have."""

    here: str
    there: str
    dtype: np.dtype
    """The type to compare it in."""


def _shared(here: Store, there: Store) -> list[_Shared]:
    """Observations that both have; a published copy may lack rewards and physics."""
    ours, theirs = (
        [s for s in store.manifest.observations if s.role != Role.physics]
        for store in (here, there)
    )
    others = {spec.name: spec for spec in theirs}
    states = here.manifest.state, there.manifest.state
    if same_under_another_name(*states):
        others[states[0][0].name] = states[1][0]
    pairs = [(spec, others[spec.name]) for spec in ours if spec.name in others]
    return sorted(
        _Shared(spec.name, other.name, _joint_type(spec, other))
        for spec, other in pairs
        if spec.shape == other.shape and wider(spec, other)
    )


def _joint_type(one: ArraySpec, other: ArraySpec) -> np.dtype:
    """The type in which numbers of both are compared: that of a copy that was rounded."""
    types = np.dtype(one.dtype), np.dtype(other.dtype)
    if all(dtype.kind == "f" for dtype in types):
        return min(types, key=lambda dtype: dtype.itemsize)
    return np.promote_types(*types)


def _contents(
    store: Store, arrays: Sequence[tuple[str, np.dtype]], places: Sequence[int] | None = None
) -> list[bytes | None]:
    """Hash of some observations of each trajectory; None where there are none to hash.

    Args:
        store: the corpus.
        arrays: their names, and the types to take them in.
        places: of the trajectories, if not all are asked for.
    """
    chosen = np.arange(len(store.index.length)) if places is None else np.array(places, np.int64)
    packed = {spec.name: columns for spec, columns in layout_of(store.manifest).packed}
    hashes: list[bytes | None] = []
    for length, number, row in zip(
        store.index.length[chosen].tolist(),
        store.index.shard[chosen].tolist(),
        store.index.row[chosen].tolist(),
        strict=True,
    ):
        shard, rows = store.shards[number], slice(row, row + length + 1)
        content = hashlib.sha256(f"{length}".encode())
        for name, dtype in arrays:
            array = shard.steps[rows, packed[name]] if name in packed else shard.fields[name][rows]
            with np.errstate(over="ignore"):  # beyond a narrower type, in both
                content.update(np.ascontiguousarray(array, dtype).data)
        hashes.append(content.digest() if arrays else None)
    return hashes


def _origins(store: Store) -> list[tuple | None]:
    """Where each trajectory comes from, as far as that tells it from others."""
    info, entries = store.manifest.environment, store.manifest.provenance
    task = info and (info.suite, info.task, info.action_repeat)
    return [
        (task, entries[at].source, entries[at].seed, step, seed) if seeded else None
        for at, step, seed, seeded in zip(
            store.table.provenance.tolist(),
            store.table.agent_step.tolist(),
            store.table.seed.tolist(),
            store.table.seeded.tolist(),
            strict=True,
        )
    ]


def _pairs(here: list, there: list) -> Iterator[tuple[int, int]]:
    places = {key: place for place, key in reversed(list(enumerate(there))) if key is not None}
    return ((i, places[key]) for i, key in enumerate(here) if key in places)


def _name(store: Store, i: int) -> str:
    return store.table.ids[i].decode("ascii")
