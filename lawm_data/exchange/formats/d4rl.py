"""D4RL: one flat HDF5 file; ``terminals`` and ``timeouts`` mark the last row of each trajectory.

Row t holds ``o_t``, ``a_t``, ``r_t`` and, in newer files, ``o_{t+1}`` in ``next_observations``. The
format knows no step without an action, so what it shows are the trajectories that have all of
theirs; the others stand under ``metadata/lawm/unlabeled``, which its readers step over: every
array of observations with T + 1 rows a trajectory, ``actions`` only for the steps that have them,
and ``action_observed``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LabelState, Manifest, Provenance, Role

from lawm_data.corpus.encode import compression
from lawm_data.corpus.layout import stored_dtype
from lawm_data.exchange.formats._flat import (
    Rows,
    blocks,
    marked,
    next_finite,
    same_length,
    segments,
)
from lawm_data.exchange.formats._own_hdf5 import (
    Own,
    encoded,
    new_hdf5,
    read_file,
    refuse_settings,
    require_shape,
    write_own,
)
from lawm_data.exchange.formats._own_hdf5 import locate as locate
from lawm_data.exchange.formats._protocol import About, Episode, Incoming, Outgoing
from lawm_data.exchange.formats._settings import DECLARED, declared_bounds, declared_environment
from lawm_data.exchange.untrusted.archive import HINT
from lawm_data.exchange.untrusted.arrays import (
    action_bounds,
    checked_spec,
    column,
    first_difference,
    flags,
    observation_spec,
)
from lawm_data.exchange.untrusted.hdf5 import ForeignFile, ForeignRows

_Parts = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None, np.ndarray | None]
"""Observations, rewards, actions and which of them are observed."""


def restored(file: ForeignFile, own: Own, settings: Mapping[str, Any]) -> Incoming:
    """A corpus that was exported."""
    refuse_settings(settings, str(file.path))
    return own.incoming(
        trajectories=_restore(file, own),
        name=file.path.name,
        files=(file.path,),
        masks=own.masks,
        close=file.close,
    )


def _restore(file: ForeignFile, own: Own) -> Iterator[Episode]:
    whole, rest = _Complete(file, own), _Incomplete(file, own)
    for i, complete in enumerate(own.complete.tolist()):
        yield own.episode(i, *(whole if complete else rest).next(i))


def _opened(file: ForeignFile, name: str, rows: int, shape: tuple[int, ...] = ()) -> ForeignRows:
    """An array of a known shape, (rows, *shape)."""
    found = file.rows(name)
    require_shape(found.shape, (rows, *shape), found.where)
    return found


class _Complete:
    """The trajectories with all their actions, in their order."""

    def __init__(self, file: ForeignFile, own: Own) -> None:
        self._own, self._at = own, 0
        steps, count = int(own.length[own.complete].sum()), int(own.complete.sum())
        self._columns = columns_of(own.manifest)
        shape, action = self._columns.shape, own.manifest.action.shape or (1,)
        self._rows = {
            "observations": _opened(file, "observations", steps, shape),
            "next_observations": _opened(file, "next_observations", steps, shape),
            "actions": _opened(file, "actions", steps, action),
            "rewards": _opened(file, "rewards", steps),
        }
        infos = self._columns.infos
        self._infos = {s.name: _opened(file, f"infos/{s.name}", steps, s.shape) for s in infos}
        self._final = {s.name: _opened(file, f"{FINAL}/{s.name}", count, s.shape) for s in infos}

    def next(self, i: int) -> _Parts:
        """The arrays of the next trajectory, the i-th of all."""
        steps, start = int(self._own.length[i]), self._at
        self._at = end = start + steps
        last = self._rows["next_observations"][end - 1 : end]
        packed = np.concatenate([self._rows["observations"][start:end], last])
        observations = self._apart(packed)
        for spec in self._columns.infos:
            parts = self._infos[spec.name][start:end], self._final[spec.name].next(1)
            observations[spec.name] = np.concatenate(parts)
        actions = self._rows["actions"][start:end].reshape(steps, *self._own.manifest.action.shape)
        return observations, self._rows["rewards"][start:end], actions, None

    def _apart(self, packed: np.ndarray) -> dict[str, np.ndarray]:
        first = self._columns.observed[0]
        if is_image(first):
            return {first.name: packed}
        ends = np.cumsum([spec.size for spec in self._columns.observed])
        parts = np.split(packed, ends[:-1], axis=1)
        fields = zip(self._columns.observed, parts, strict=True)
        return {spec.name: part.reshape(-1, *spec.shape) for spec, part in fields}


class _Incomplete:
    """The trajectories that lack actions, in their order."""

    def __init__(self, file: ForeignFile, own: Own) -> None:
        self._own = own
        lacks = ~own.complete
        steps, known = int(own.length[lacks].sum()), int(own.num_observed[lacks].sum())
        action = own.manifest.action.shape or (1,)
        self._actions = _opened(file, f"{UNLABELED}/actions", known, action)
        self._rewards = _opened(file, f"{UNLABELED}/rewards", steps)
        self._observed = _opened(file, f"{UNLABELED}/action_observed", steps)
        rows, specs = steps + int(lacks.sum()), own.manifest.observations
        self._rows = {
            spec.name: _opened(file, f"{UNLABELED}/observations/{spec.name}", rows, spec.shape)
            for spec in specs
        }

    def next(self, i: int) -> _Parts:
        """The arrays of the next trajectory, the i-th of all."""
        own, steps, known = self._own, int(self._own.length[i]), int(self._own.num_observed[i])
        observations = {name: rows.next(steps + 1) for name, rows in self._rows.items()}
        rewards = self._rewards.next(steps)
        observed = flags(self._observed.next(steps), self._observed.where)
        if observed.sum() != known:
            what = f"is true {observed.sum()} times where {known} are due"
            raise CorpusError(what, self._observed.where, HINT)
        if not known:
            return observations, rewards, None, None
        found = self._actions.next(known).reshape(known, *own.manifest.action.shape)
        actions = np.zeros((steps, *found.shape[1:]), found.dtype)
        actions[observed] = found
        return observations, rewards, actions, observed


HORIZON = {"horizon": "steps after which a trajectory was cut, for files without timeouts"}
"""The setting of D4RL alone."""
_NEEDED = ("observations", "actions", "rewards", "terminals")


class _Cuts(NamedTuple):
    rows: np.ndarray
    """(n, 2): first row and end of each trajectory."""
    terminated: np.ndarray
    """(n,) bool: the last row leads to a terminal state."""
    open: bool
    """The last one has no mark at its end."""


def recorded(file: ForeignFile, settings: Mapping[str, Any]) -> Incoming:
    """Trajectories that D4RL or a converter to it wrote."""
    for name in _NEEDED:
        if not file.has(name):
            raise file.refuse(name, "is missing")
    names = ["observations", "actions", "rewards"]
    later = file.has("next_observations")
    names += ["next_observations"] if later else []
    arrays: dict[str, Rows] = {name: file.rows(name) for name in names}
    marks: dict[str, Rows] = {
        name: file.rows(name) for name in ("terminals", "timeouts") if file.has(name)
    }
    rows = same_length({**arrays, **marks})
    cuts = _cuts(marks, rows, settings, file)
    where = arrays["observations"].where
    spec = observation_spec("observation", *_step(arrays["observations"]), where)
    action = _action_spec(file, settings)
    said = _notes(file, cuts, later, action)
    return Incoming(
        observations=(spec,),
        action=action,
        trajectories=_trajectories(file, arrays, cuts),
        count=int((cuts.rows[:, 1] - cuts.rows[:, 0] > (not later)).sum()),
        name=file.path.name,
        files=(file.path,),
        environment=declared_environment(settings),
        said=said,
        close=file.close,
    )


def _step(rows: Rows) -> tuple[tuple[int, ...], np.dtype]:
    return rows.shape[1:], rows.dtype


def _action_spec(file: ForeignFile, settings: Mapping[str, Any]) -> ArraySpec:
    rows = file.rows("actions", again=True)
    size = int(np.prod(rows.shape[1:]))
    bounds = declared_bounds(settings, size)
    if bounds is None:
        bounds = action_bounds(blocks(rows), size)
    return checked_spec("action", *_step(rows), Role.action, rows.where, **bounds)


def _cuts(
    marks: dict[str, Rows], rows: int, settings: Mapping[str, Any], file: ForeignFile
) -> _Cuts:
    terminals = marked(marks["terminals"])
    horizon = settings.get("horizon")
    if "timeouts" in marks:
        if horizon is not None:
            raise ConfigError("is known from timeouts", "horizon", "leave it out")
        ends = np.union1d(terminals, marked(marks["timeouts"]))
    elif isinstance(horizon, int) and horizon > 0 and not isinstance(horizon, bool):
        ends = _after(horizon, terminals, rows)
    else:
        hint = "take a version that has it (-v2), or give the length (--set horizon=1000)"
        raise CorpusError("is missing", file.where("timeouts"), hint)
    found = segments(ends, rows)
    return _Cuts(found, np.isin(found[:, 1] - 1, terminals), len(found) > len(ends))


def _after(horizon: int, terminals: np.ndarray, rows: int) -> np.ndarray:
    """Last rows of trajectories that end after ``horizon`` steps or in a terminal state."""
    pieces = [np.arange(s + horizon - 1, e, horizon) for s, e in segments(terminals, rows).tolist()]
    return np.union1d(terminals, np.concatenate(pieces or [terminals]))


def _notes(file: ForeignFile, cuts: _Cuts, later: bool, action: ArraySpec) -> list[str]:
    said = []
    if not later:
        said.append(
            "there is no next_observations: the last step of each trajectory leads to an "
            "observation that is not there, and was left out; its reward and its end are in the "
            f"metadata ({int(cuts.terminated.sum())} ended in a terminal state)"
        )
        alone = int((cuts.rows[:, 1] - cuts.rows[:, 0] == 1).sum())
        if alone:
            said.append(f"{alone} trajectories of a single row were left out")
    if cuts.open:
        said.append("the last rows have no mark at their end; they are a truncated trajectory")
    known = (*_NEEDED, "timeouts", "next_observations")
    left = [name for name in file.names() if name not in known] + file.names(kind="group")
    if left:
        said.append(f"not kept: {', '.join(left)}")
    if action.low is not None:
        said.append("no bounds of actions are stored; -1 and 1 were taken, all lie between them")
    return said


def _trajectories(file: ForeignFile, arrays: dict[str, Rows], cuts: _Cuts) -> Iterator[Episode]:
    source = Provenance(source=f"d4rl:{file.path.name}", origin="import")
    ends = cuts.terminated.tolist()
    for (first, end), terminated in zip(cuts.rows.tolist(), ends, strict=True):
        rows = {name: next_finite(a, first, end - first) for name, a in arrays.items()}
        rows["rewards"] = column(rows["rewards"], arrays["rewards"].where)
        if "next_observations" in rows:
            yield _whole(rows, arrays, first, terminated, source)
        elif end - first > 1:
            yield _shortened(rows, first, terminated, source)


def _whole(
    rows: dict[str, np.ndarray],
    arrays: dict[str, Rows],
    first: int,
    terminated: bool,
    source: Provenance,
) -> Episode:
    """A trajectory whose final observation is there; the observations between stand twice."""
    now, later = rows["observations"], rows["next_observations"]
    if now.shape != later.shape or now.dtype != later.dtype:
        what = f"has rows of {later.dtype} {later.shape[1:]}, not of {now.dtype} {now.shape[1:]}"
        raise CorpusError(what, arrays["next_observations"].where, "make them agree")
    row = first_difference(later[:-1], now[1:])
    if row is not None:
        what = f"row {first + row} is not row {first + row + 1} of observations"
        hint = "mark the end of the trajectory there (timeouts)"
        raise CorpusError(what, arrays["next_observations"].where, hint)
    return Episode(
        observations={"observation": np.concatenate([now, later[-1:]])},
        rewards=rows["rewards"],
        provenance=source,
        actions=rows["actions"],
        terminated=terminated,
        truncated=not terminated,
        metadata={"first_row": first},
    )


def _shortened(
    rows: dict[str, np.ndarray], first: int, terminated: bool, source: Provenance
) -> Episode:
    """A trajectory without the step whose observation is not there."""
    left_out = {"reward": float(rows["rewards"][-1]), "terminated": terminated}
    return Episode(
        observations={"observation": rows["observations"]},
        rewards=rows["rewards"][:-1],
        provenance=source,
        actions=rows["actions"][:-1],
        truncated=True,
        metadata={"first_row": first, "left_out": left_out},
    )


GROUP = "metadata/lawm"
"""Group of what our own files say of themselves; D4RL's readers step over ``metadata``."""
UNLABELED = f"{GROUP}/unlabeled"
"""Group of the trajectories that lack actions."""
FINAL = f"{GROUP}/final"
"""Group of the last observations of arrays that stand under ``infos``."""


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
    settings={**DECLARED, **HORIZON},
)


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a flat file; see ``FormatModule.read``."""
    return read_file(place, settings, GROUP, restored, recorded)


def write(outgoing: Outgoing, path: Path, place: str, settings: Mapping[str, Any]) -> Sequence[str]:
    """Write a view; see ``FormatModule.write``."""
    columns, metadata = columns_of(outgoing.view.manifest), []
    with new_hdf5(path, place) as writing:
        file = writing.file
        flat = _Flat(file, outgoing, columns)
        for episode in outgoing:
            metadata.append(encoded(episode.metadata))
            observed = episode.action_observed
            if episode.actions is not None and (observed is None or observed.all()):
                flat.add(episode)
            else:
                flat.add_unlabeled(episode)
            writing.require_space()
        write_own(file.require_group(GROUP), outgoing, metadata)
    return _said(outgoing, columns)


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
        observations = self._side_by_side(arrays)
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
        start = self._filled.get(name, 0)
        self._filled[name] = end = start + len(array)
        dataset = self._datasets[name]
        dataset[start:end] = array.reshape(len(array), *dataset.shape[1:])

    def _side_by_side(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        parts = [arrays[spec.name] for spec in self._columns.observed]
        if is_image(self._columns.observed[0]):
            return parts[0]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], 1)


def _said(outgoing: Outgoing, columns: Columns) -> list[str]:
    table, said = outgoing.view.table, []
    rest = int((table.num_observed < table.length).sum())
    if rest:
        said.append(
            f"{rest} trajectories without all their actions stand under {UNLABELED}: "
            "a reader of D4RL would take every number for an action"
        )
    if rest == len(table):
        said.append("no trajectory has all its actions: a reader of D4RL will find no step")
    if columns.infos:
        names = ", ".join(spec.name for spec in columns.infos)
        said.append(f"not in observations, but under infos/: {names}")
    if outgoing.view.overlay is not None:
        said.append(f"inferred actions of {outgoing.view.overlay.name} are left out")
    return said
