"""Reading robomimic files of others: what is there, what it becomes, what is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, CorpusError, Provenance, Role

from lawm_data.corpus.table import NO_REWARDS
from lawm_data.exchange.formats._protocol import Carried, Incoming
from lawm_data.exchange.formats._robomimic_layout import ENV_ARGS, demonstrations
from lawm_data.exchange.formats._settings import declared_bounds, declared_environment
from lawm_data.exchange.untrusted.arrays import (
    action_bounds,
    checked_spec,
    column,
    first_difference,
    flags,
    observation_spec,
    require_finite,
)
from lawm_data.exchange.untrusted.hdf5 import ForeignFile
from lawm_data.exchange.untrusted.strict_json import strict_json

_KNOWN = ("actions", "rewards", "dones")


class _Layout(NamedTuple):
    observations: tuple[ArraySpec, ...]
    action: ArraySpec
    rewarded: bool
    ended: bool
    """Whether the observation after the last step is there (``next_obs``)."""


def recorded(file: ForeignFile, settings: Mapping[str, Any]) -> Incoming:
    """Demonstrations that robomimic or one of its converters wrote."""
    demos = demonstrations(file, "data")
    if not demos:
        raise file.refuse("data", "holds no demonstration (data/demo_0)")
    layout = _layout(file, demos, settings)
    keys = _filter_keys(file, demos)
    arguments = file.attributes("data").get(ENV_ARGS)
    known = {} if arguments is None else {ENV_ARGS: strict_json(arguments, file.where("data"))}
    source = Provenance(source=f"robomimic:{file.path.name}", origin="import", settings=known)
    return Incoming(
        observations=layout.observations,
        action=layout.action,
        trajectories=_demonstrate(file, demos, layout, keys, source),
        count=len(demos),
        name=file.path.name,
        files=(file.path,),
        environment=declared_environment(settings),
        said=_said(file, f"data/{demos[0]}", layout),
        close=file.close,
    )


def _layout(file: ForeignFile, demos: list[str], settings: Mapping[str, Any]) -> _Layout:
    first = f"data/{demos[0]}"
    names = file.names(f"{first}/obs")
    if not names:
        mend = "let robomimic's dataset_states_to_obs extract them"
        raise CorpusError("holds no observations", file.where(f"{first}/obs"), mend)
    specs = []
    for name in names:
        shape, dtype = file.header(f"{first}/obs/{name}")
        specs.append(observation_spec(name, shape[1:], dtype, file.where(f"{first}/obs/{name}")))
    rewarded, ended = file.has(f"{first}/rewards"), file.has(f"{first}/next_obs")
    return _Layout(tuple(specs), _action_spec(file, demos, settings), rewarded, ended)


def _action_spec(file: ForeignFile, demos: list[str], settings: Mapping[str, Any]) -> ArraySpec:
    names = [f"data/{demo}/actions" for demo in demos if file.has(f"data/{demo}/actions")]
    if not names:
        mend = "a corpus needs the shape of its actions: add one demonstration that has them"
        raise CorpusError("holds no actions", file.where("data"), mend)
    (_, *shape), dtype = (file.header(names[0])[0] or (0,)), file.header(names[0])[1]
    size = int(np.prod(shape))
    bounds = declared_bounds(settings, size)
    if bounds is None:
        bounds = action_bounds((file.rows(name, again=True)[()] for name in names), size)
    return checked_spec("action", tuple(shape), dtype, Role.action, file.where(names[0]), **bounds)


def _filter_keys(file: ForeignFile, demos: list[str]) -> dict[str, list[str]]:
    """The filter keys of each demonstration."""
    found: dict[str, list[str]] = {demo: [] for demo in demos}
    for key in file.names("mask"):
        for demo in file.labels(f"mask/{key}", len(demos)):
            if demo not in found:
                raise file.refuse(f"mask/{key}", f"names {demo!r}, which is not there")
            found[demo].append(key)
    return found


def _said(file: ForeignFile, first: str, layout: _Layout) -> list[str]:
    left = [name for name in file.names(first) if name not in _KNOWN]
    left += [name for name in file.names(first, "group") if name not in ("obs", "next_obs")]
    left += ["model_file"] if "model_file" in file.attributes(first) else []
    said = [
        "dones does not tell a terminal state from a limit: a demonstration whose last done is 1 "
        "counts as terminated, the others as truncated"
    ]
    if not layout.ended:
        said.append("there is no next_obs: the last step of each demonstration was left out")
    if not layout.rewarded:
        said.append("no rewards are stored: they are zero, and metadata says rewards: none")
    if left:
        said.append(f"not kept: {', '.join(left)}")
    if layout.action.low is not None:
        said.append("no bounds of actions are stored; -1 and 1 were taken, all lie between them")
    return said


def _demonstrate(
    file: ForeignFile,
    demos: list[str],
    layout: _Layout,
    keys: Mapping[str, list[str]],
    source: Provenance,
) -> Iterator[Carried]:
    for demo in demos:
        yield _demonstration(file, demo, layout, keys[demo], source)


def _demonstration(
    file: ForeignFile, demo: str, layout: _Layout, keys: list[str], source: Provenance
) -> Carried:
    place = f"data/{demo}"
    _require_no_more(file, place, layout)
    rows = _rows(file, place, layout)
    steps = rows if layout.ended else rows - 1
    observations = {
        spec.name: _observed(file, place, spec, rows, layout.ended) for spec in layout.observations
    }
    rewards = np.zeros(steps, np.float32)
    metadata: dict[str, Any] = {"demo": demo, **({} if layout.rewarded else NO_REWARDS)}
    if layout.rewarded:
        name = f"{place}/rewards"
        rewards = column(_finite(file, name, rows), file.where(name))[:steps]
    done = np.zeros(rows, bool)
    if file.has(f"{place}/dones"):
        done = flags(_finite(file, f"{place}/dones", rows), file.where(f"{place}/dones"))
    if keys:
        metadata["filter_keys"] = keys
    if done[: rows - 1].any():
        metadata["first_done"] = int(np.argmax(done))
    actions = None
    if file.has(f"{place}/actions"):
        actions = _finite(file, f"{place}/actions", rows)[:steps]
    return Carried(
        observations=observations,
        rewards=rewards,
        provenance=source,
        actions=actions,
        terminated=layout.ended and bool(done[-1]),
        truncated=not layout.ended or not done[-1],
        metadata=metadata,
    )


def _require_no_more(file: ForeignFile, place: str, layout: _Layout) -> None:
    """Refuse what the first demonstration has not: it would be lost without a word."""
    known = {spec.name for spec in layout.observations}
    more = [f"obs/{name}" for name in file.names(f"{place}/obs") if name not in known]
    more += ["rewards"] if file.has(f"{place}/rewards") and not layout.rewarded else []
    more += ["next_obs"] if file.has(f"{place}/next_obs") and not layout.ended else []
    if more:
        mend = "all demonstrations hold the same arrays"
        where = file.where(f"{place}/{more[0]}")
        raise CorpusError("is not in the first demonstration", where, mend)


def _rows(file: ForeignFile, place: str, layout: _Layout) -> int:
    """Rows of a demonstration, as its first array and ``num_samples`` agree."""
    name = f"{place}/obs/{layout.observations[0].name}"
    rows = (file.header(name)[0] or (0,))[0]
    least = 1 if layout.ended else 2
    if rows < least:
        mend = "leave it out: a trajectory has one step or more"
        raise CorpusError(f"has {rows} rows", file.where(name), mend)
    counted = file.attributes(place).get("num_samples", rows)
    if counted != rows:
        what = f"has {rows} rows where num_samples says {counted}"
        raise CorpusError(what, file.where(name), "make the lengths agree")
    return rows


def _observed(file: ForeignFile, place: str, spec: ArraySpec, rows: int, ended: bool) -> np.ndarray:
    """An array of observations, with the one after the last step where that is there."""
    array = _like(_finite(file, f"{place}/obs/{spec.name}", rows), spec, file, place)
    if not ended:
        return array
    name = f"{place}/next_obs/{spec.name}"
    later = _like(_finite(file, name, rows), spec, file, place)
    row = first_difference(later[:-1], array[1:])
    if row is not None:
        what = f"row {row} is not row {row + 1} of obs/{spec.name}"
        raise CorpusError(what, file.where(name), "cut the demonstration there")
    return np.concatenate([array, later[-1:]])


def _like(array: np.ndarray, spec: ArraySpec, file: ForeignFile, place: str) -> np.ndarray:
    if array.shape[1:] != spec.shape or array.dtype != np.dtype(spec.dtype):
        what = f"has rows of {array.dtype} {array.shape[1:]}, others of {spec.dtype} {spec.shape}"
        where = file.where(f"{place}/obs/{spec.name}")
        raise CorpusError(what, where, "all demonstrations hold the same arrays")
    return array


def _finite(file: ForeignFile, name: str, rows: int) -> np.ndarray:
    return require_finite(file.read_rows(name, rows), file.where(name))
