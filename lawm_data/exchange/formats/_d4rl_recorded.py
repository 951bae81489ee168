"""Reading D4RL files of others: where trajectories end, what is there, what is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Provenance, Role

from lawm_data.exchange.formats._flat import (
    Rows,
    blocks,
    marked,
    next_finite,
    same_length,
    segments,
)
from lawm_data.exchange.formats._protocol import Carried, Incoming
from lawm_data.exchange.formats._settings import declared_bounds, declared_environment
from lawm_data.exchange.untrusted.arrays import (
    action_bounds,
    checked_spec,
    column,
    first_difference,
    observation_spec,
)
from lawm_data.exchange.untrusted.hdf5 import ForeignFile

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
    said = _said(file, cuts, later, action)
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
        mend = "take a version that has it (-v2), or give the length (--set horizon=1000)"
        raise CorpusError("is missing", file.where("timeouts"), mend)
    found = segments(ends, rows)
    return _Cuts(found, np.isin(found[:, 1] - 1, terminals), len(found) > len(ends))


def _after(horizon: int, terminals: np.ndarray, rows: int) -> np.ndarray:
    """Last rows of trajectories that end after ``horizon`` steps or in a terminal state."""
    pieces = [np.arange(s + horizon - 1, e, horizon) for s, e in segments(terminals, rows).tolist()]
    return np.union1d(terminals, np.concatenate(pieces or [terminals]))


def _said(file: ForeignFile, cuts: _Cuts, later: bool, action: ArraySpec) -> list[str]:
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


def _trajectories(file: ForeignFile, arrays: dict[str, Rows], cuts: _Cuts) -> Iterator[Carried]:
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
) -> Carried:
    """A trajectory whose final observation is there; the observations between stand twice."""
    now, later = rows["observations"], rows["next_observations"]
    if now.shape != later.shape or now.dtype != later.dtype:
        what = f"has rows of {later.dtype} {later.shape[1:]}, not of {now.dtype} {now.shape[1:]}"
        raise CorpusError(what, arrays["next_observations"].where, "make them agree")
    row = first_difference(later[:-1], now[1:])
    if row is not None:
        what = f"row {first + row} is not row {first + row + 1} of observations"
        mend = "mark the end of the trajectory there (timeouts)"
        raise CorpusError(what, arrays["next_observations"].where, mend)
    return Carried(
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
) -> Carried:
    """A trajectory without the step whose observation is not there."""
    left_out = {"reward": float(rows["rewards"][-1]), "terminated": terminated}
    return Carried(
        observations={"observation": rows["observations"]},
        rewards=rows["rewards"][:-1],
        provenance=source,
        actions=rows["actions"][:-1],
        truncated=True,
        metadata={"first_row": first, "left_out": left_out},
    )
