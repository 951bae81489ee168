"""d3rlpy: one HDF5 file of a ``ReplayBuffer``, or of the ``MDPDataset`` of version 1.

Version 2 stores the arrays of trajectory i as ``observations_i`` (``observations_i_j`` where there
are several), ``actions_i``, ``rewards_i`` and the flag ``terminated_i``. Version 1 has
``observations``, ``actions``, ``rewards``, ``terminals`` and ``episode_terminals`` of all rows, one
trajectory after the other. Row t holds ``o_t``, ``a_t`` and ``r_t``; what the last action led to is
not stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, CorpusError, LabelState, Provenance

from lawm_data.corpus.table import FINAL_MISSING
from lawm_data.exchange.formats._flat import (
    Rows,
    blocks,
    marked,
    next_finite,
    same_length,
    segments,
)
from lawm_data.exchange.formats._protocol import (
    BOUNDS_NOTE,
    FINAL_NOTE,
    About,
    Episode,
    Incoming,
    repeat_last,
)
from lawm_data.exchange.formats._settings import (
    DECLARED,
    WITHOUT,
    declared_action,
    declared_environment,
    dispensable,
    wanted,
)
from lawm_data.exchange.untrusted.arrays import (
    column,
    flags,
    require_finite,
    turned_spec,
)
from lawm_data.exchange.untrusted.hdf5 import ForeignFile

ABOUT = About(
    title="d3rlpy, one HDF5 file",
    place="FILE.h5",
    extra=None,
    reads=True,
    writes=False,
    label_states=(LabelState.observed,),
    partial=False,
    arrays="all",
    alignment="a_t leaves o_t",
    final_observation=False,
    ends="terminated",
    pixels="lossless",
    metadata=False,
    streaming=True,
    settings={**DECLARED, **WITHOUT},
)
_OF_TRAJECTORY = re.compile(r"(observations|actions|rewards|terminated)_(\d+)(?:_(\d+))?")
_FLAT = ("observations", "actions", "rewards", "terminals")


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a file; see ``FormatModule.read``."""
    with ExitStack() as undo:
        file = ForeignFile(Path(place))
        undo.callback(file.close)
        flat = all(file.has(name) for name in _FLAT)
        found = _read_flat(file, settings) if flat else _read_buffer(file, settings)
        undo.pop_all()
        return found


class _Field(NamedTuple):
    """An array of observations."""

    stored: str
    """What stands behind ``observations`` in its name, ``{}`` for the trajectory."""
    spec: ArraySpec
    turn: bool
    """Channels come first."""


def _read_buffer(file: ForeignFile, settings: Mapping[str, Any]) -> Incoming:
    """A file of version 2."""
    count, parts, others = _listed(file, settings)
    fields = []
    for called, suffix in parts.items():
        name = f"observations_{suffix.format(0)}"
        with dispensable(called, parts):
            shape, dtype = file.header(name)
            spec, turn = turned_spec(called, shape[1:], dtype, file.where(name))
        fields.append(_Field(suffix, spec, turn))
    shape, dtype = file.header("actions_0")
    recorded = (file.rows(f"actions_{i}", again=True)[()] for i in range(count))
    action = declared_action(settings, shape[1:], dtype, file.where("actions_0"), recorded)
    ended = [_ended(file, i) for i in range(count)]
    notes = [FINAL_NOTE]
    if others:
        notes.append(f"not kept: {', '.join(others)}")
    return _incoming(file, settings, fields, action, _buffered(file, fields, ended), count, notes)


def _listed(
    file: ForeignFile, settings: Mapping[str, Any]
) -> tuple[int, dict[str, str], list[str]]:
    """Number of trajectories, observations as ``_Field.stored`` by name, and other arrays."""
    names: dict[str, set[tuple[int, int | None]]] = {}
    others = []
    for name in file.tree():
        match = _OF_TRAJECTORY.fullmatch(name)
        if match:
            part = None if match[3] is None else int(match[3])
            names.setdefault(match[1], set()).add((int(match[2]), part))
        elif name not in ("columns", "num_episodes", "version"):
            others.append(name)
    if set(names) != {"observations", "actions", "rewards", "terminated"}:
        hint = "give a file that ReplayBuffer.dump or MDPDataset.dump wrote"
        raise CorpusError("holds no trajectories of d3rlpy", str(file.path), hint)
    count = len(names["actions"])
    parts = {part for _, part in names["observations"]}
    numbered: dict[str, int | None] = {"observation": None}
    if parts != {None}:
        numbered = {f"observation_{part}": part for part in range(len(parts))}
    fields = wanted(settings, {n: n.replace("observation", "observations") for n in numbered})
    left = [name for name in numbered if name not in fields]
    names["observations"] -= {(i, numbered[name]) for name in left for i in range(count)}
    for kind, found in names.items():
        due = [numbered[name] for name in fields] if kind == "observations" else [None]
        odd = sorted(found ^ {(i, part) for i in range(count) for part in due}, key=str)
        if odd:
            name = "_".join(str(part) for part in (kind, *odd[0]) if part is not None)
            what = "is not one of a trajectory that has all its arrays"
            raise CorpusError(what, file.where(name), "write the file again")
    if file.has("num_episodes"):
        stated = file.read("num_episodes")
        if stated.size != 1 or int(stated.reshape(())) != count:
            what = f"does not say {count}, the number of trajectories that are there"
            raise CorpusError(what, file.where("num_episodes"), "write the file again")
    stored = {name: place.replace("observations", "{}") for name, place in fields.items()}
    return count, stored, others + left


def _ended(file: ForeignFile, i: int) -> bool:
    flag = file.read(f"terminated_{i}")
    if flag.size != 1:
        raise file.refuse(f"terminated_{i}", "is not one flag")
    return bool(flags(flag.reshape(1), file.where(f"terminated_{i}"))[0])


def _buffered(file: ForeignFile, fields: list[_Field], ended: list[bool]) -> Iterator[Episode]:
    for i, terminated in enumerate(ended):
        rewards = column(_finite(file, f"rewards_{i}"), file.where(f"rewards_{i}"))
        arrays = {}
        for field in fields:
            with dispensable(field.spec.name, fields):
                stored = f"observations_{field.stored.format(i)}"
                arrays[field.spec.name] = _finite(file, stored, len(rewards))
        actions = _finite(file, f"actions_{i}", len(rewards))
        source = f"d3rlpy:{file.path.name}"
        yield _episode(arrays, fields, actions, rewards, terminated, source, {"episode": i})


def _finite(file: ForeignFile, name: str, rows: int | None = None) -> np.ndarray:
    array = file.read(name) if rows is None else file.read_rows(name, rows)
    return require_finite(array, file.where(name))


def _read_flat(file: ForeignFile, settings: Mapping[str, Any]) -> Incoming:
    """A file of version 1."""
    arrays: dict[str, Rows] = {name: file.rows(name) for name in _FLAT[:3]}
    marks: dict[str, Rows] = {
        name: file.rows(name) for name in ("terminals", "episode_terminals") if file.has(name)
    }
    rows = same_length({**arrays, **marks})
    terminals = marked(marks["terminals"])
    ends = terminals
    if "episode_terminals" in marks:
        ends = np.union1d(terminals, marked(marks["episode_terminals"]))
    cuts = segments(ends, rows)
    shown, actions = arrays["observations"], file.rows("actions", again=True)
    wanted(settings, {"observation": "observations"})  # there is no other to be left
    spec, turn = turned_spec("observation", shown.shape[1:], shown.dtype, shown.where)
    field = _Field("", spec, turn)
    shape, where = actions.shape[1:], actions.where
    action = declared_action(settings, shape, actions.dtype, where, blocks(actions))
    notes = [FINAL_NOTE]
    if len(cuts) > len(ends):
        notes.append("the last rows have no mark at their end; they are a truncated trajectory")
    known = (*_FLAT, "episode_terminals", "discrete_action", "version", "create_mask", "mask_size")
    left = [name for name in file.tree() if name not in known]
    if left:
        notes.append(f"not kept: {', '.join(left)}")

    def trajectories() -> Iterator[Episode]:
        ended = np.isin(cuts[:, 1] - 1, terminals).tolist()
        for (first, end), terminated in zip(cuts.tolist(), ended, strict=True):
            read = {name: next_finite(a, first, end - first) for name, a in arrays.items()}
            rewards = column(read["rewards"], arrays["rewards"].where)
            observed = {"observation": read["observations"]}
            source, more = f"d3rlpy:{file.path.name}", {"first_row": first}
            yield _episode(observed, [field], read["actions"], rewards, terminated, source, more)

    return _incoming(file, settings, [field], action, trajectories(), len(cuts), notes)


def _incoming(
    file: ForeignFile,
    settings: Mapping[str, Any],
    fields: list[_Field],
    action: ArraySpec,
    trajectories: Iterator[Episode],
    count: int,
    notes: list[str],
) -> Incoming:
    if action.low is not None and "low" not in settings:
        notes.append(BOUNDS_NOTE)

    return Incoming(
        observations=tuple(field.spec for field in fields),
        action=action,
        trajectories=trajectories,
        count=count,
        name=file.path.name,
        files=(file.path,),
        environment=declared_environment(settings),
        notes=notes,
        close=file.close,
    )


def _episode(
    observed: Mapping[str, np.ndarray],
    fields: list[_Field],
    actions: np.ndarray,
    rewards: np.ndarray,
    terminated: bool,
    source: str,
    metadata: dict[str, Any],
) -> Episode:
    arrays = {}
    for field in fields:
        array = observed[field.spec.name]
        arrays[field.spec.name] = repeat_last(np.moveaxis(array, 1, -1) if field.turn else array)
    return Episode(
        observations=arrays,
        rewards=rewards,
        provenance=Provenance(source=source, origin="import"),
        actions=actions,
        terminated=terminated,
        truncated=not terminated,
        metadata=metadata | FINAL_MISSING,
    )
