"""D4RL: one flat HDF5 file; ``terminals`` and ``timeouts`` mark the last row of each trajectory.

Row t holds ``o_t``, ``a_t``, ``r_t`` and, in newer files, ``o_{t+1}`` in ``next_observations``. The
format knows no step without an action, so what it shows are the trajectories that have all of
theirs; the others stand under ``metadata/lawm/unlabeled``, which its readers step over: every
array of observations with T + 1 rows a trajectory, ``actions`` only for the steps that have them,
and ``action_observed``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LabelState, Manifest, Provenance, Role

from lawm_data.corpus.layout import stored_dtype
from lawm_data.corpus.table import FINAL_MISSING
from lawm_data.corpus.writing.encode import compression
from lawm_data.exchange.formats._flat import (
    BLOCK,
    Rows,
    blocks,
    marked,
    next_finite,
    same_length,
    segments,
)
from lawm_data.exchange.formats._hdf5_sidecar import (
    Sidecar,
    at_observed,
    encoded,
    exported_rows,
    new_hdf5,
    read_file,
    refuse_settings,
    write_sidecar,
)
from lawm_data.exchange.formats._hdf5_sidecar import locate as locate
from lawm_data.exchange.formats._protocol import (
    BOUNDS_NOTE,
    FINAL_NOTE,
    About,
    Episode,
    Incoming,
    Outgoing,
    nested_note,
    repeat_last,
)
from lawm_data.exchange.formats._settings import (
    DECLARED,
    UNRECORDED,
    UNRECORDED_NOTE,
    WITHOUT,
    declared_action,
    declared_environment,
    dispensable,
    listed,
    require_none,
    unrecorded_action,
    wanted,
)
from lawm_data.exchange.untrusted.arrays import column, flags, observation_spec
from lawm_data.exchange.untrusted.hdf5 import OTHER_FORMAT, ForeignFile

ABOUT = About(
    title="D4RL, one flat HDF5 file",
    place="FILE.hdf5",
    extra=None,
    reads=True,
    writes=True,
    label_states=(LabelState.observed, LabelState.missing, LabelState.withheld),
    partial=True,
    arrays="all",
    alignment="a_t leaves o_t",
    final_observation=True,
    ends="both",
    pixels="lossless",
    metadata=True,
    streaming=True,
    settings={
        **DECLARED,
        **UNRECORDED,
        **WITHOUT,
        "horizon": "steps after which a trajectory was cut, for files without timeouts",
    },
)
GROUP = "metadata/lawm"
"""Group of what our own files say of themselves; D4RL's readers step over ``metadata``."""
UNLABELED = f"{GROUP}/unlabeled"
"""Group of the trajectories that lack actions."""
FINAL = f"{GROUP}/final"
"""Group of the last observations of arrays that stand under ``infos``."""
WRITTEN_AT_ONCE = 1 << 20
"""Bytes that wait: a call of HDF5 takes as long as 100 kB do."""
_NEEDED = ("observations", "rewards", "terminals")
_Arrays = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None, np.ndarray | None]
"""Observations, rewards, actions and which of them are observed."""


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a flat file; see ``FormatModule.read``."""
    return read_file(place, settings, GROUP, read_export, read_foreign)


def write(outgoing: Outgoing, path: Path, place: str, settings: Mapping[str, Any]) -> Sequence[str]:
    """Write a view; see ``FormatModule.write``."""
    view, metadata = outgoing.view, []
    columns = columns_of(view.manifest)
    with new_hdf5(path, place) as writer:
        file = writer.file
        flat = _Flat(file, outgoing, columns)
        for episode in outgoing:
            metadata.append(encoded(episode.metadata))
            if episode.complete:
                flat.add(episode)
            else:
                flat.add_unlabeled(episode)
            writer.require_space()
        flat.flush()
        write_sidecar(file.require_group(GROUP), outgoing, metadata)
    notes = []
    unlabeled = int((view.table.num_observed < view.table.length).sum())
    if unlabeled:
        notes.append(
            f"{unlabeled} trajectories without all their actions stand under {UNLABELED}: "
            "a reader of D4RL would take every number for an action"
        )
    if unlabeled == len(view):
        notes.append("no trajectory has all its actions: a reader of D4RL will find no step")
    if columns.infos:
        names = ", ".join(spec.name for spec in columns.infos)
        notes.append(f"not in observations, but under infos/: {names}")
    if view.overlay is not None:
        notes.append(f"inferred actions of {view.overlay.name} are left out")
    return notes


class _Flat:
    """The datasets of a file, sized beforehand, and how far each is filled.

    Args:
        file: where they are made.
        outgoing: the view.
        columns: which array stands where.
    """

    def __init__(self, file: h5py.File, outgoing: Outgoing, columns: Columns) -> None:
        self._file, self._columns = file, columns
        self._datasets: dict[str, h5py.Dataset] = {}
        self._filled: dict[str, int] = {}
        self._waiting: dict[str, list[np.ndarray]] = {}
        self._bytes = 0
        manifest, table = outgoing.view.manifest, outgoing.view.table
        whole = table.num_observed == table.length
        steps, rest = int(table.length[whole].sum()), int(table.length[~whole].sum())
        first, action = columns.observed[0], manifest.action
        for name in ("observations", "next_observations"):
            self._make(name, steps, columns.shape, first)
        self._make("actions", steps, action.shape or (1,), action)
        self._reserve("rewards", (steps,), "<f4")
        for name in ("terminals", "timeouts"):
            self._reserve(name, (steps,), bool)
        for spec in columns.infos:
            self._make(f"infos/{spec.name}", steps, spec.shape, spec)
            self._make(f"{FINAL}/{spec.name}", int(whole.sum()), spec.shape, spec)
        known = int(table.num_observed[~whole].sum())
        self._make(f"{UNLABELED}/actions", known, action.shape or (1,), action)
        self._reserve(f"{UNLABELED}/rewards", (rest,), "<f4")
        self._reserve(f"{UNLABELED}/action_observed", (rest,), bool)
        rows = rest + int((~whole).sum())
        for spec in manifest.observations:
            self._make(f"{UNLABELED}/observations/{spec.name}", rows, spec.shape, spec)

    def add(self, episode: Episode) -> None:
        """Append a trajectory that has all its actions."""
        arrays, last = episode.observations, np.arange(len(episode.rewards))
        last = last == len(last) - 1
        parts = [arrays[spec.name] for spec in self._columns.observed]
        observations = parts[0]
        if not is_image(self._columns.observed[0]):
            observations = np.concatenate([part.reshape(len(part), -1) for part in parts], 1)
        self._append("observations", observations[:-1])
        self._append("next_observations", observations[1:])
        self._append("actions", episode.actions)
        self._append("rewards", episode.rewards)
        self._append("terminals", last & episode.terminated)
        self._append("timeouts", last & (episode.truncated or not episode.terminated))
        for spec in self._columns.infos:
            self._append(f"infos/{spec.name}", arrays[spec.name][:-1])
            self._append(f"{FINAL}/{spec.name}", arrays[spec.name][-1:])

    def add_unlabeled(self, episode: Episode) -> None:
        """Append a trajectory that lacks actions."""
        observed = np.zeros(len(episode.rewards), bool)
        if episode.actions is not None and episode.action_observed is not None:
            observed = episode.action_observed
            self._append(f"{UNLABELED}/actions", episode.actions[observed])
        self._append(f"{UNLABELED}/action_observed", observed)
        self._append(f"{UNLABELED}/rewards", episode.rewards)
        for name, array in episode.observations.items():
            self._append(f"{UNLABELED}/observations/{name}", array)

    def _make(self, name: str, rows: int, shape: tuple[int, ...], spec: ArraySpec) -> None:
        kind = bool if spec.dtype == "bool" else stored_dtype(spec)
        storage = compression(spec) if is_image(spec) and rows else {}
        self._reserve(name, (rows, *shape), kind, **storage)

    def _reserve(self, name: str, shape: tuple[int, ...], kind: Any, **storage: Any) -> None:
        self._datasets[name] = self._file.create_dataset(name, shape, kind, **storage)

    def _append(self, name: str, array: np.ndarray | None) -> None:
        if array is None or not len(array):
            return
        self._waiting.setdefault(name, []).append(array)
        self._bytes += array.nbytes
        if self._bytes >= WRITTEN_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        for name, arrays in self._waiting.items():
            dataset, start = self._datasets[name], self._filled.get(name, 0)
            self._filled[name] = end = start + sum(map(len, arrays))
            dataset[start:end] = np.concatenate(arrays).reshape(end - start, *dataset.shape[1:])
        self._waiting, self._bytes = {}, 0


class Columns(NamedTuple):
    """The division of a step's arrays."""

    observed: tuple[ArraySpec, ...]
    """Side by side in ``observations``: the state fields of the first one's type, or, where there
    is no state, an image alone."""
    infos: tuple[ArraySpec, ...]
    """The others, under ``infos/NAME``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a row of ``observations``."""
        first = self.observed[0]
        return first.shape if is_image(first) else (sum(spec.size for spec in self.observed),)


def is_image(spec: ArraySpec) -> bool:
    """Whether it keeps its shape in ``observations``."""
    return spec.role is Role.pixels


def columns_of(manifest: Manifest) -> Columns:
    """Divide the arrays of a manifest."""
    images = tuple(spec for spec in manifest.observations if is_image(spec))
    state = tuple(spec for spec in manifest.state if spec.dtype == manifest.state[0].dtype)
    observed = state or images[:1]
    return Columns(observed, tuple(s for s in manifest.observations if s not in observed))


def read_export(file: ForeignFile, sidecar: Sidecar, settings: Mapping[str, Any]) -> Incoming:
    """A corpus that was exported."""
    refuse_settings(settings, str(file.path))
    whole, rest = _Complete(file, sidecar), _Incomplete(file, sidecar)
    trajectories = (
        sidecar.episode(i, *(whole if complete else rest).next(i))
        for i, complete in enumerate(sidecar.complete.tolist())
    )
    return sidecar.incoming(trajectories, sidecar.masks)


class _Complete:
    """The trajectories with all their actions, in their order."""

    def __init__(self, file: ForeignFile, sidecar: Sidecar) -> None:
        self._sidecar, self._at = sidecar, 0
        steps, count = int(sidecar.length[sidecar.complete].sum()), int(sidecar.complete.sum())
        self._columns = columns_of(sidecar.manifest)
        shape, action = self._columns.shape, sidecar.manifest.action.shape or (1,)
        self._rows = {
            "observations": exported_rows(file, "observations", (steps, *shape)),
            "next_observations": exported_rows(file, "next_observations", (steps, *shape)),
            "actions": exported_rows(file, "actions", (steps, *action)),
            "rewards": exported_rows(file, "rewards", (steps,)),
        }
        infos = self._columns.infos
        self._infos = {
            s.name: exported_rows(file, f"infos/{s.name}", (steps, *s.shape)) for s in infos
        }
        self._final = {
            s.name: exported_rows(file, f"{FINAL}/{s.name}", (count, *s.shape)) for s in infos
        }

    def next(self, i: int) -> _Arrays:
        """The arrays of the next trajectory, the i-th of all."""
        steps = int(self._sidecar.length[i])
        self._at = end = self._at + steps
        observed, later = self._columns.observed, self._rows["next_observations"]
        # pictures are decompressed for nothing; numbers come faster with those around them
        last = later[end - 1 : end] if is_image(observed[0]) else later.next(steps)[-1:]
        packed = np.concatenate([self._rows["observations"].next(steps), last])
        if is_image(observed[0]):
            observations = {observed[0].name: packed}
        else:
            ends = np.cumsum([spec.size for spec in observed])[:-1]
            fields = zip(observed, np.split(packed, ends, axis=1), strict=True)
            observations = {spec.name: part.reshape(-1, *spec.shape) for spec, part in fields}
        for spec in self._columns.infos:
            parts = self._infos[spec.name].next(steps), self._final[spec.name].next(1)
            observations[spec.name] = np.concatenate(parts)
        shape = self._sidecar.manifest.action.shape
        actions = self._rows["actions"].next(steps).reshape(steps, *shape)
        return observations, self._rows["rewards"].next(steps), actions, None


class _Incomplete:
    """The trajectories that lack actions, in their order."""

    def __init__(self, file: ForeignFile, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        lacks = ~sidecar.complete
        steps, known = int(sidecar.length[lacks].sum()), int(sidecar.num_observed[lacks].sum())
        action = sidecar.manifest.action.shape or (1,)
        self._actions = exported_rows(file, f"{UNLABELED}/actions", (known, *action))
        self._rewards = exported_rows(file, f"{UNLABELED}/rewards", (steps,))
        self._observed = exported_rows(file, f"{UNLABELED}/action_observed", (steps,))
        rows, above = steps + int(lacks.sum()), f"{UNLABELED}/observations"
        self._rows = {
            spec.name: exported_rows(file, f"{above}/{spec.name}", (rows, *spec.shape))
            for spec in sidecar.manifest.observations
        }

    def next(self, i: int) -> _Arrays:
        """The arrays of the next trajectory, the i-th of all."""
        steps, known = int(self._sidecar.length[i]), int(self._sidecar.num_observed[i])
        observations = {name: rows.next(steps + 1) for name, rows in self._rows.items()}
        rewards = self._rewards.next(steps)
        observed = flags(self._observed.next(steps), self._observed.where)
        found = self._actions.next(known).reshape(known, *self._sidecar.manifest.action.shape)
        actions = at_observed(found, observed, self._observed.where)
        if not known:
            return observations, rewards, None, None
        return observations, rewards, actions, observed


def read_foreign(file: ForeignFile, settings: Mapping[str, Any]) -> Incoming:
    """Trajectories that D4RL or a converter to it wrote."""
    for name in _NEEDED:
        if not file.has(name):
            raise file.refuse(name, "is missing", OTHER_FORMAT)
    fields = wanted(settings, _fields(file))
    observations = []
    for name, place in fields.items():
        with dispensable(name, fields):
            shape, dtype = file.header(place)
            observations.append(observation_spec(name, shape[1:], dtype, file.where(place)))
    later = file.has("next_observations")
    cuts = _cuts(file, fields.values() if later else (), settings)
    if file.has("actions"):
        require_none(settings, UNRECORDED, "files without actions")
        actions = file.rows("actions", again=True)
        action = declared_action(
            settings, actions.shape[1:], actions.dtype, actions.where, blocks(actions)
        )
    else:
        action = unrecorded_action(settings)
    known, left = file.described("")
    source = Provenance(source=f"d4rl:{file.path.name}", origin="import", settings=known)
    columns = _columns(file, fields, later)
    same_length({name: rows for place in columns for name, rows in place.items()})
    return Incoming(
        observations=tuple(observations),
        action=action,
        trajectories=_trajectories(columns, cuts, source),
        count=len(cuts.rows),
        name=file.path.name,
        files=(file.path,),
        environment=declared_environment(settings),
        notes=_notes(file, cuts, settings, action, left),
        close=file.close,
    )


def _fields(file: ForeignFile) -> dict[str, str]:
    """Place of every array of observations, by its name in a corpus."""
    if not file.is_group("observations"):
        return {"observation": "observations"}
    return {path.replace("/", "."): f"observations/{path}" for path in file.tree("observations")}


def _next(fields: Mapping[str, Rows], first: int, count: int) -> dict[str, np.ndarray]:
    """The next rows of some observations."""
    arrays = {}
    for name, rows in fields.items():
        with dispensable(name, fields):
            arrays[name] = next_finite(rows, first, count)
    return arrays


class _Columns(NamedTuple):
    """Everything that is read row by row, by name."""

    now: dict[str, Rows]
    later: dict[str, Rows]
    """The observations that steps led to; none where the file has no such."""
    steps: dict[str, Rows]
    """``rewards``, and ``actions`` where there are some."""


def _columns(file: ForeignFile, fields: Mapping[str, str], later: bool) -> _Columns:
    now: dict[str, Rows] = {name: file.rows(place) for name, place in fields.items()}
    after: dict[str, Rows] = {n: file.rows(f"next_{p}") for n, p in fields.items()} if later else {}
    steps = {name: file.rows(name) for name in ("actions", "rewards") if file.has(name)}
    return _Columns(now, after, dict[str, Rows](steps))


class _Cuts(NamedTuple):
    rows: np.ndarray
    """(n, 2): first row and end of each trajectory."""
    terminated: np.ndarray
    """(n,) bool: the last row leads to a terminal state."""
    truncated: np.ndarray
    """(n,) bool: it is marked as a timeout, or as nothing."""
    breaks: int
    """Ends that no mark shows, but only that ``next_observations`` leads elsewhere."""
    open: bool
    """The last one has no mark at its end."""


def _cuts(file: ForeignFile, followed: Iterable[str], settings: Mapping[str, Any]) -> _Cuts:
    """Where trajectories end.

    Args:
        file: the file.
        followed: places of the observations that have a ``next_`` one.
        settings: of the format.
    """
    marks: dict[str, Rows] = {
        name: file.rows(name) for name in ("terminals", "timeouts") if file.has(name)
    }
    rows = same_length({**marks, "rewards": file.rows("rewards", again=True)})
    terminals, timeouts = marked(marks["terminals"]), np.empty(0, np.int64)
    horizon = settings.get("horizon")
    if "timeouts" in marks:
        if horizon is not None:
            raise ConfigError("is known from timeouts", "horizon", "leave it out")
        timeouts = marked(marks["timeouts"])
    elif isinstance(horizon, int) and horizon > 0 and not isinstance(horizon, bool):
        # after so many steps, or in a terminal state before
        spans = segments(terminals, rows).tolist()
        full = [np.arange(start + horizon - 1, end, horizon) for start, end in spans]
        timeouts = np.setdiff1d(np.concatenate(full or [terminals]), terminals)
    else:
        hint = "take a version that has it (-v2), or give the length (--set horizon=1000)"
        raise CorpusError("is missing", file.where("timeouts"), hint)
    ends = np.union1d(terminals, timeouts)
    breaks = np.empty(0, np.int64)
    for place in followed:
        breaks = np.union1d(breaks, _breaks(file, place, ends))
    found = segments(np.union1d(ends, breaks), rows)
    last = found[:, 1] - 1
    terminated = np.isin(last, terminals)
    truncated = np.isin(last, timeouts) | ~terminated
    return _Cuts(found, terminated, truncated, len(breaks), rows - 1 not in ends)


def _breaks(file: ForeignFile, place: str, ends: np.ndarray) -> np.ndarray:
    """Rows that lead to another observation than that of the next row, other than known ends.

    Raises:
        CorpusError: it is so in most rows.
    """
    now, later = (file.rows(name, again=True) for name in (place, f"next_{place}"))
    if (now.shape, now.dtype) != (later.shape, later.dtype):
        what = f"is {later.dtype} {later.shape}, not {now.dtype} {now.shape}"
        raise CorpusError(what, later.where, "make them agree")
    size, found = max(1, BLOCK // max(1, int(np.prod(now.shape[1:])))), [np.empty(0, np.int64)]
    for start in range(0, len(now) - 1, size):
        end = min(start + size, len(now) - 1)
        differ = later[start:end] != now[start + 1 : end + 1]
        found.append(start + np.flatnonzero(differ.any(axis=tuple(range(1, differ.ndim)))))
    breaks = np.setdiff1d(np.concatenate(found), ends)
    if 2 * len(breaks) > len(now) - 1 and len(breaks) > 1:
        what = f"leads elsewhere than to the next row in {len(breaks)} rows of {len(now)}"
        hint = "bring the rows into the order of time, or delete next_observations"
        raise CorpusError(what, later.where, hint)
    return breaks


def _notes(
    file: ForeignFile,
    cuts: _Cuts,
    settings: Mapping[str, Any],
    action: ArraySpec,
    left: list[str],
) -> list[str]:
    notes = nested_note(_fields(file))
    if not file.has("next_observations"):
        notes.append(f"there is no next_observations: {FINAL_NOTE}")
    if cuts.breaks:
        notes.append(
            f"{cuts.breaks} rows lead elsewhere than to the next row, and no mark says so: "
            "a trajectory ends there, and counts as truncated"
        )
    if cuts.open:
        notes.append("the last rows have no mark at their end; they are a truncated trajectory")
    if not file.has("actions"):
        notes.append(UNRECORDED_NOTE)
    known = (*_NEEDED, "actions", "timeouts", "next_observations")
    there = (*file.names(), *file.names(kind="group"), *left, *listed(settings, "without"))
    others = [name for name in there if name not in known]
    if others:
        notes.append(f"not kept: {', '.join(others)}")
    if action.low is not None and "low" not in settings:
        notes.append(BOUNDS_NOTE)
    return notes


def _trajectories(columns: _Columns, cuts: _Cuts, source: Provenance) -> Iterator[Episode]:
    ends = cuts.terminated.tolist(), cuts.truncated.tolist()
    for (first, end), terminated, truncated in zip(cuts.rows.tolist(), *ends, strict=True):
        now, later = (_next(rows, first, end - first) for rows in (columns.now, columns.later))
        steps = {n: next_finite(rows, first, end - first) for n, rows in columns.steps.items()}
        metadata: dict[str, Any] = {"first_row": first}
        if later:
            observations = {n: np.concatenate([now[n], later[n][-1:]]) for n in now}
        else:
            observations = {name: repeat_last(array) for name, array in now.items()}
            metadata |= FINAL_MISSING
        yield Episode(
            observations=observations,
            rewards=column(steps["rewards"], columns.steps["rewards"].where),
            provenance=source,
            actions=steps.get("actions"),
            terminated=terminated,
            truncated=truncated,
            metadata=metadata,
        )
