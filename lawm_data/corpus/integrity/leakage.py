"""Trajectories that two corpora share, such as one to train on and one to validate on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lawm_schemas import Role

from lawm_data.corpus.integrity.validate import NAMED, Finding
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.store import Store, open_store


class Leakage(NamedTuple):
    """Pairs of ids: of the corpus, and of the one that it is held against."""

    equal: list[tuple[str, str]]
    """The same observations, bit for bit, whatever is known of actions and rewards. Arrays that
    only one corpus has are not compared, nor states of the simulator."""
    near: list[tuple[str, str]]
    """Other content, but the same task, source, seed of the source and seed of the reset."""


def leakage(path: str | Path, against: str | Path) -> Leakage:
    """Trajectories of a corpus that are in another one, too.

    Raises:
        LawmError: one of them cannot be opened.
    """
    here, there = open_store(Path(path)), open_store(Path(against))
    names = _shared(here, there)
    equal = dict(_pairs(_contents(here, names), _contents(there, names)))
    near = _pairs(_origins(here), _origins(there))
    return Leakage(
        [(_name(here, a), _name(there, b)) for a, b in equal.items()],
        [(_name(here, a), _name(there, b)) for a, b in near if a not in equal],
    )


def leakage_findings(path: str | Path, against: str | Path, found: Leakage) -> Iterator[Finding]:
    """Shared trajectories as errors, near ones as a warning."""
    hint = "keep it in one of them only"
    for a, b in found.equal[:NAMED]:
        where = f"{path}: trajectory {a}"
        yield Finding("error", where, f"is in {against}, too, as {b}", hint)
    if len(found.equal) > NAMED:
        yield Finding("error", str(path), f"{len(found.equal) - NAMED} more of these", hint)
    if found.near:
        what = f"{len(found.near)} trajectories have source and seeds of others in {against}"
        yield Finding("warning", str(path), what, "collect with another seed")


def _shared(here: Store, there: Store) -> list[str]:
    """Observations that both have; a published copy may lack rewards and physics."""
    specs = [
        {s.name: (s.shape, s.dtype) for s in store.manifest.observations if s.role != Role.physics}
        for store in (here, there)
    ]
    return sorted(name for name, spec in specs[0].items() if specs[1].get(name) == spec)


def _contents(store: Store, names: Sequence[str]) -> list[bytes | None]:
    """Hash of some observations of each trajectory; None where there are none to hash."""
    packed = {spec.name: columns for spec, columns in layout_of(store.manifest).packed}
    hashes: list[bytes | None] = []
    for length, number, row in zip(
        store.index.length.tolist(),
        store.index.shard.tolist(),
        store.index.row.tolist(),
        strict=True,
    ):
        shard, rows = store.shards[number], slice(row, row + length + 1)
        content = hashlib.sha256(f"{length}".encode())
        for name in names:
            array = shard.steps[rows, packed[name]] if name in packed else shard.fields[name][rows]
            content.update(np.ascontiguousarray(array).data)
        hashes.append(content.digest() if names else None)
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
