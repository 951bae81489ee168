"""Formats of one file a trajectory, in which an action stands beside the observation it led to.

Row 0 is the reset: its action, reward and discount belong to no step. Row t + 1 holds the action
that was taken at ``o_t``, what that step paid, and ``o_{t+1}``. So T + 1 rows are T steps, and
dropping the first row of actions and rewards gives the alignment of a corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Provenance, Role
from lawm_schemas.arrays import PICTURES

from lawm_data.corpus.table import NO_REWARDS
from lawm_data.corpus.writing.record import beyond_bounds
from lawm_data.exchange.formats._protocol import REWARDS_NOTE, Episode, Incoming, nested_note
from lawm_data.exchange.formats._settings import (
    UNRECORDED,
    UNRECORDED_NOTE,
    declared_bounds,
    declared_environment,
    dispensable,
    require_none,
    unrecorded_action,
    wanted,
)
from lawm_data.exchange.untrusted.arrays import (
    checked_spec,
    column,
    flags,
    natural,
    require_finite,
    whole_images,
)
from lawm_data.exchange.untrusted.hdf5 import ForeignFile
from lawm_data.exchange.untrusted.npz import NpzFile
from lawm_data.system.atomic import storage_errors

UNIT = -1.0, 1.0
"""Bounds of the action in all environments that these formats were recorded in."""

TrajectoryFile = NpzFile | ForeignFile


class Source(NamedTuple):
    """A file of one trajectory, or a member of an archive."""

    name: str
    path: Path
    open: Callable[[], TrajectoryFile]


class Convention(Protocol):
    """What a format calls its arrays, and what they mean."""

    format: str
    action: str
    """Name of the array of actions."""
    flags: tuple[str, ...]
    """Names of the arrays that tell how a trajectory ends."""

    def ends(self, arrays: Mapping[str, np.ndarray], where: Mapping[str, str]) -> tuple[bool, bool]:
        """Terminated and truncated, from the flags; ``where`` names them in messages."""
        ...

    def spec(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype, where: str
    ) -> ArraySpec | None:
        """Spec of an array of observations, or None for one that is left out."""
        ...


class _Layout(NamedTuple):
    observations: tuple[ArraySpec, ...]
    action: ArraySpec
    recorded: bool
    """Some file has actions."""
    rewarded: bool
    left: tuple[str, ...]
    """Arrays that are not read."""
    names: frozenset[str]
    """All arrays of a file but the actions, which may be missing."""
    places: dict[str, str]
    """Where the observations are in a file, by name."""
    converted: tuple[str, ...]
    """Images that are stored in another type than uint8."""


def npz_files(folder: Path, usual: str) -> list[Path]:
    """The npz files of a folder, numbers in their names in their order.

    Args:
        folder: the folder.
        usual: clause of a hint that says what it is often called.

    Raises:
        ConfigError: it is no folder.
        CorpusError: it holds none.
    """
    with storage_errors(folder):
        if not folder.is_dir():
            hint = f"give the folder with the npz files, {usual}"
            raise ConfigError("is not a folder", str(folder), hint)
        found = [path for path in folder.iterdir() if path.suffix == ".npz" and path.is_file()]
    if not found:
        hint = f"give the folder that holds them, {usual}"
        raise CorpusError("holds no npz file", str(folder), hint)
    return sorted(found, key=lambda path: natural(path.name))


def incoming(
    sources: Sequence[Source], convention: Convention, place: Path, settings: Mapping[str, Any]
) -> Incoming:
    """Open a folder of trajectories.

    Raises:
        CorpusError: the first file is not what the format says.
        ConfigError: a setting makes no sense.
    """
    layout = _layout(sources, convention, settings)
    notes = [
        f"{convention.action} leads to the observation beside it in this format; each was moved to "
        "the observation it was taken at, and the first row's, a dummy, was dropped"
        if layout.recorded
        else UNRECORDED_NOTE
    ]
    notes += nested_note(spec.name for spec in layout.observations)
    if not layout.rewarded:
        notes.append(REWARDS_NOTE)
    if layout.left:
        notes.append(f"not kept: {', '.join(layout.left)}")
    notes += [
        f"{name} is stored as floats that are whole numbers; it was kept as uint8"
        for name in layout.converted
    ]
    provenance = Provenance(source=f"{convention.format}:{place.name}", origin="import")
    return Incoming(
        observations=layout.observations,
        action=layout.action,
        trajectories=(_trajectory(file, convention, layout, provenance, notes) for file in sources),
        count=len(sources),
        name=place.name,
        files=tuple(dict.fromkeys(source.path for source in sources)),
        environment=declared_environment(settings),
        notes=notes,
    )


def _layout(
    sources: Sequence[Source], convention: Convention, settings: Mapping[str, Any]
) -> _Layout:
    with closing(sources[0].open()) as file:
        names = _names(file)
        known = (convention.action, "reward", *convention.flags)
        places = {n.replace("/", "."): n for n in names if n not in known}
        stored: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
        specs: list[ArraySpec | None] = []
        fields = wanted(settings, places)
        for name, place in fields.items():
            with dispensable(name, fields):
                stored[name] = _step(file, place)
                shape, dtype = stored[name]
                specs.append(convention.spec(name, shape, dtype, file.where(place)))
    found = _chosen(tuple(spec for spec in specs if spec is not None), settings)
    if not any(spec.role is not Role.physics for spec in found):
        raise CorpusError("holds no observations", file.where(""), "check the format")
    kept = {spec.name for spec in found}
    pixels = [spec.name for spec in found if spec.role is Role.pixels]
    action = _action_spec(sources, convention.action, settings)
    return _Layout(
        observations=found,
        action=action or unrecorded_action(settings),
        recorded=action is not None,
        rewarded="reward" in names,
        left=tuple(place for name, place in places.items() if name not in kept),
        names=frozenset(names) - {convention.action},
        places=places,
        converted=tuple(name for name in pixels if stored[name][1].name not in PICTURES),
    )


def _names(file: TrajectoryFile) -> list[str]:
    return file.tree() if isinstance(file, ForeignFile) else file.names()


def _chosen(found: tuple[ArraySpec, ...], settings: Mapping[str, Any]) -> tuple[ArraySpec, ...]:
    """The observations that were asked for, in that order."""
    wanted = settings.get("fields")
    if wanted is None:
        return found
    names = wanted.split(",") if isinstance(wanted, str) else wanted
    known = {spec.name: spec for spec in found}
    if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names):
        raise ConfigError(f"{wanted!r} are no names", "fields", f"there are: {', '.join(known)}")
    for name in names:
        if name not in known:
            there = ", ".join(known)
            raise ConfigError(f"no array {name!r}", "fields", f"there are: {there}")
    return tuple(known[name] for name in names)


def _step(file: TrajectoryFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    shape, dtype = file.header(name)
    if not shape:
        raise CorpusError("has no rows", file.where(name), "store one row an observation")
    return shape[1:], dtype


def _action_spec(
    sources: Sequence[Source], name: str, settings: Mapping[str, Any]
) -> ArraySpec | None:
    """The action as the first file with actions has it, or None."""
    for source in sources:
        with closing(source.open()) as file:
            if name not in _names(file):
                continue
            require_none(settings, UNRECORDED, "files without actions")
            shape, dtype = _step(file, name)
            size = int(np.prod(shape))
            bounds = declared_bounds(settings, size)
            if bounds is None and dtype.kind == "f":
                bounds = {"low": (UNIT[0],) * size, "high": (UNIT[1],) * size}
            where = file.where(name)
            return checked_spec("action", shape, dtype, Role.action, where, **(bounds or {}))
    return None


def _trajectory(
    source: Source,
    convention: Convention,
    layout: _Layout,
    provenance: Provenance,
    notes: list[str],
) -> Episode:
    """One trajectory; ``notes`` grows by attributes that are not kept."""
    with closing(source.open()) as file:
        names = set(_names(file))
        _require_same(names - {convention.action}, layout, file.where(""))
        first = layout.places[layout.observations[0].name]
        rows, *_ = file.header(first)[0] or (0,)
        if rows < 2:
            hint = "leave the file out: a trajectory has one step or more"
            raise CorpusError(f"has {rows} rows", file.where(first), hint)
        observations = {}
        for spec in layout.observations:
            with dispensable(spec.name, layout.observations):
                observations[spec.name] = _observed(file, layout.places[spec.name], spec, rows)
        rewards = np.zeros(rows, np.float32)
        if layout.rewarded:
            rewards = column(_read_entering(file, "reward", rows), file.where("reward"))
        ends = {key: _read_entering(file, key, rows) for key in convention.flags if key in names}
        terminated, truncated = convention.ends(
            ends, {key: file.where(key) for key in convention.flags}
        )
        described, unfit = file.described("") if isinstance(file, ForeignFile) else ({}, [])
        more = (f"the attribute {key!r} is long or not plain: left out" for key in unfit)
        notes += [note for note in more if note not in notes]
        actions, where = None, file.where(convention.action)
        if convention.action in names:
            actions = _entered(_read_entering(file, convention.action, rows), layout.action, where)
    return Episode(
        observations=observations,
        rewards=rewards[1:],
        provenance=provenance,
        actions=actions,
        terminated=terminated,
        truncated=truncated,
        metadata={**described, "file": source.name, **({} if layout.rewarded else NO_REWARDS)},
    )


def _observed(file: TrajectoryFile, place: str, spec: ArraySpec, rows: int) -> np.ndarray:
    array, where = _read(file, place, rows), file.where(place)
    if array.shape[1:] != spec.shape:
        what = f"has rows of shape {array.shape[1:]} instead of {spec.shape}"
        raise CorpusError(what, where, "all files of a folder hold the same arrays")
    if spec.role is Role.pixels and array.dtype != np.dtype(spec.dtype):
        return whole_images(array, where)
    return array


def _require_same(names: set[str], layout: _Layout, where: str) -> None:
    """Refuse a file that lacks what is read, or has what the first has not: it would be lost."""
    needed = [layout.places[s.name] for s in layout.observations] + ["reward"] * layout.rewarded
    missing, more = sorted({*needed} - names), sorted(names - layout.names)
    if missing or more:
        what = f"lacks {', '.join(missing)}"
        if more:
            what = f"has {', '.join(more)}, which the first file has not"
        raise CorpusError(what, where, "all files of a folder hold the same arrays")


def _read(file: TrajectoryFile, name: str, rows: int) -> np.ndarray:
    return require_finite(file.read_rows(name, rows), file.where(name))


def _read_entering(file: TrajectoryFile, name: str, rows: int) -> np.ndarray:
    """What a step leads to: row 0, the reset, has none, and may say so with NaN instead of 0."""
    array = file.read_rows(name, rows)
    if array.dtype.kind == "f" and np.isnan(array[0]).any():
        array = array.copy()
        array[0] = np.nan_to_num(array[0])
    return require_finite(array, file.where(name))


def _entered(actions: np.ndarray, spec: ArraySpec, where: str) -> np.ndarray:
    """Actions (T, …) that enter rows 1 … T; row 0 has none, and says so with zeros."""
    if actions[0].any():
        hint = "row 0 is the reset: no action led to it; check that the file is of this format"
        raise CorpusError("has an action in row 0", where, hint)
    outside = beyond_bounds(actions, spec) if actions.shape[1:] == spec.shape else np.zeros(1, bool)
    if outside.any():
        at = tuple(np.argwhere(outside)[0])
        hint = "declare the bounds of the environment: --set low=… --set high=…"
        raise CorpusError(f"{actions[at]:g} in row {at[0]} is out of bounds", where, hint)
    return actions[1:]


def ended_at_last(array: np.ndarray, where: str) -> bool:
    """A flag that only the last row may have.

    Raises:
        CorpusError: an earlier row has it.
    """
    found = flags(array, where)
    if found[:-1].any():
        what = f"is true in row {int(np.argmax(found))} of {len(found)}"
        raise CorpusError(what, where, "cut the trajectory there")
    return bool(found[-1])
