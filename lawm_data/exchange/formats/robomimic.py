"""robomimic: one HDF5 file, a group for each demonstration, filter keys that name some of them.

``data/demo_i`` holds ``actions``, ``rewards``, ``dones``, ``states``, ``obs/NAME`` and
``next_obs/NAME``, T rows each. Its reader puts zeros, silently, in the place of an array that a
demonstration lacks, and takes NaN for a number. So what is written under ``data`` has all its
actions; the others stand under ``unlabeled``, where no robomimic reader looks, with T + 1 rows of
``obs``, and ``actions`` only for the steps that have them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from lawm_schemas import ArraySpec, CorpusError, LabelState, Manifest, Mask, Provenance, Role

from lawm_data.corpus.encode import compression
from lawm_data.corpus.layout import is_chunked
from lawm_data.corpus.table import NO_REWARDS
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
from lawm_data.exchange.untrusted.arrays import (
    action_bounds,
    checked_spec,
    column,
    first_difference,
    flags,
    observation_spec,
    require_finite,
)
from lawm_data.exchange.untrusted.hdf5 import ForeignFile, ForeignRows
from lawm_data.exchange.untrusted.strict_json import strict_json


def restored(file: ForeignFile, own: Own, settings: Mapping[str, Any]) -> Incoming:
    """A corpus that was exported."""
    refuse_settings(settings, str(file.path))
    complete = own.complete.tolist()
    places = [f"{'data' if whole else 'unlabeled'}/demo_{i}" for i, whole in enumerate(complete)]
    there = {f"{g}/{name}" for g in ("data", "unlabeled") for name in demonstrations(file, g)}
    odd = sorted(there ^ set(places))
    if odd:
        hint = f"remove the group {GROUP}, and the file is read like any other"
        raise CorpusError("was added or removed after the export", file.where(odd[0]), hint)
    return own.incoming(
        trajectories=_restore(file, own, places),
        name=file.path.name,
        files=(file.path,),
        masks=_kept_masks(file, own),
        said=_foreign_keys(file, own),
        close=file.close,
    )


def _kept_masks(file: ForeignFile, own: Own) -> tuple[Mask, ...]:
    """The masks whose filter keys still say the same."""
    return tuple(mask for mask in own.masks if not _changed(file, own, mask))


def _changed(file: ForeignFile, own: Own, mask: Mask) -> bool:
    key = f"mask/{mask.name}"
    if not file.has(key):
        return True
    place = {name: f"demo_{i}" for i, name in enumerate(own.id)}
    return file.labels(key, own.count) != [place.get(name) for name in mask.labeled]


def _foreign_keys(file: ForeignFile, own: Own) -> list[str]:
    ours = {mask.name for mask in _kept_masks(file, own)}
    known = {mask.name for mask in own.masks}
    said = [f"mask {name} was changed after the export and is left out" for name in known - ours]
    others = [name for name in file.names("mask") if name not in known]
    if others:
        said.append(f"filter keys that the export did not write are left out: {', '.join(others)}")
    return sorted(said)


def _restore(file: ForeignFile, own: Own, places: list[str]) -> Iterator[Episode]:
    for i, place in enumerate(places):
        steps, whole = int(own.length[i]), bool(own.complete[i])
        observations = {
            spec.name: _own_observed(file, place, spec, steps, whole)
            for spec in own.manifest.observations
        }
        rewards = _own_rows(file, f"{place}/rewards", (steps,))[:]
        actions, observed = _actions(file, place, own, i)
        yield own.episode(i, observations, rewards, actions, observed)


def _own_observed(
    file: ForeignFile, place: str, spec: ArraySpec, steps: int, whole: bool
) -> np.ndarray:
    """An array of observations, (T+1, *shape), from its two parts."""
    shape, name = spec.shape or (1,), f"obs/{spec.name}"  # single numbers are rows of one
    if spec.role is Role.physics:
        states = _own_rows(file, f"{place}/states", (steps, *spec.shape))[:]
        parts = states, _own_rows(file, f"{place}/final_state", spec.shape)[()][None]
    elif whole:
        last = _own_rows(file, f"{place}/next_{name}", (steps, *shape))
        parts = _own_rows(file, f"{place}/{name}", (steps, *shape))[:], last[steps - 1 :]
    else:
        parts = (_own_rows(file, f"{place}/{name}", (steps + 1, *shape))[:],)
    return np.concatenate(parts).reshape(-1, *spec.shape)


def _own_rows(file: ForeignFile, name: str, shape: tuple[int, ...]) -> ForeignRows:
    """An array of a known shape."""
    found = file.rows(name)
    require_shape(found.shape, shape, found.where)
    return found


def _actions(
    file: ForeignFile, place: str, own: Own, i: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    steps, count, shape = int(own.length[i]), int(own.num_observed[i]), own.manifest.action.shape
    if not count:
        return None, None
    found = _own_rows(file, f"{place}/actions", (count, *(shape or (1,))))[:].reshape(-1, *shape)
    if count == steps:
        return found, None
    name = f"{place}/action_observed"
    observed = flags(file.read_rows(name, steps), file.where(name))
    if observed.sum() != count:
        raise file.refuse(name, f"is true {observed.sum()} times where {count} are due")
    actions = np.zeros((steps, *shape), found.dtype)
    actions[observed] = found
    return actions, observed


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
        said=_notes(file, f"data/{demos[0]}", layout),
        close=file.close,
    )


def _layout(file: ForeignFile, demos: list[str], settings: Mapping[str, Any]) -> _Layout:
    first = f"data/{demos[0]}"
    names = file.names(f"{first}/obs")
    if not names:
        hint = "let robomimic's dataset_states_to_obs extract them"
        raise CorpusError("holds no observations", file.where(f"{first}/obs"), hint)
    specs = []
    for name in names:
        shape, dtype = file.header(f"{first}/obs/{name}")
        specs.append(observation_spec(name, shape[1:], dtype, file.where(f"{first}/obs/{name}")))
    rewarded, ended = file.has(f"{first}/rewards"), file.has(f"{first}/next_obs")
    return _Layout(tuple(specs), _action_spec(file, demos, settings), rewarded, ended)


def _action_spec(file: ForeignFile, demos: list[str], settings: Mapping[str, Any]) -> ArraySpec:
    names = [f"data/{demo}/actions" for demo in demos if file.has(f"data/{demo}/actions")]
    if not names:
        hint = "a corpus needs the shape of its actions: add one demonstration that has them"
        raise CorpusError("holds no actions", file.where("data"), hint)
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


def _notes(file: ForeignFile, first: str, layout: _Layout) -> list[str]:
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
) -> Iterator[Episode]:
    for demo in demos:
        yield _demonstration(file, demo, layout, keys[demo], source)


def _demonstration(
    file: ForeignFile, demo: str, layout: _Layout, keys: list[str], source: Provenance
) -> Episode:
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
    return Episode(
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
        hint = "all demonstrations hold the same arrays"
        where = file.where(f"{place}/{more[0]}")
        raise CorpusError("is not in the first demonstration", where, hint)


def _rows(file: ForeignFile, place: str, layout: _Layout) -> int:
    """Rows of a demonstration, as its first array and ``num_samples`` agree."""
    name = f"{place}/obs/{layout.observations[0].name}"
    rows = (file.header(name)[0] or (0,))[0]
    least = 1 if layout.ended else 2
    if rows < least:
        hint = "leave it out: a trajectory has one step or more"
        raise CorpusError(f"has {rows} rows", file.where(name), hint)
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


GROUP = "lawm"
"""Group of what our own files say of themselves."""
ENV_ARGS = "env_args"
"""Attribute with the environment as JSON, and the setting of the provenance that keeps it."""
_DEMO = re.compile(r"demo_(\d{1,9})")


def demonstrations(file: ForeignFile, group: str) -> list[str]:
    """Names of the demonstrations of a group, by their number.

    Raises:
        CorpusError: a group of another name stands there; robomimic could not read it either.
    """
    names = file.names(group, "group")
    odd = [name for name in names if not _DEMO.fullmatch(name)]
    if odd:
        raise file.refuse(f"{group}/{odd[0]}", "is not named like demo_0")
    return sorted(names, key=lambda name: int(name[5:]))


ABOUT = About(
    title="robomimic, one HDF5 file",
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
    settings=DECLARED,
)
GYM = 2
"""robomimic's number for environments that are made by name."""


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a file of demonstrations; see ``FormatModule.read``."""
    return read_file(place, settings, GROUP, restored, recorded)


def write(outgoing: Outgoing, path: Path, place: str, settings: Mapping[str, Any]) -> Sequence[str]:
    """Write a view; see ``FormatModule.write``."""
    manifest, metadata = outgoing.view.manifest, []
    place_of, total = {}, 0
    with new_hdf5(path, place) as writing:
        file = writing.file
        data, unlabeled = file.create_group("data"), file.create_group("unlabeled")
        for i, episode in enumerate(outgoing):
            metadata.append(encoded(episode.metadata))
            steps, name = len(episode.rewards), f"demo_{i}"
            whole = _is_complete(episode)
            demo = (data if whole else unlabeled).create_group(name)
            demo.attrs["num_samples"] = steps
            demo.attrs["labels"] = "" if episode.labels is None else episode.labels.value
            _write_steps(demo, episode, manifest)
            (_write_complete if whole else _write_incomplete)(demo, episode, manifest)
            total += steps if whole else 0
            place_of[episode.trajectory_id] = name
            writing.require_space()
        data.attrs["total"] = total
        data.attrs["env_args"] = _env_args(manifest)
        for mask in outgoing.masks:
            names = [place_of[labeled] for labeled in mask.labeled]
            file[f"mask/{mask.name}"] = np.array(names, "S")
        write_own(file.create_group(GROUP), outgoing, metadata)
        return _said(outgoing, len(data), len(unlabeled))


def _is_complete(episode: Episode) -> bool:
    observed = episode.action_observed
    return episode.actions is not None and (observed is None or bool(observed.all()))


def _write_steps(demo: h5py.Group, episode: Episode, manifest: Manifest) -> None:
    steps = len(episode.rewards)
    demo["rewards"] = episode.rewards
    demo["dones"] = np.arange(1, steps + 1) // steps * int(episode.terminated)
    for spec in manifest.observations:
        if spec.role is Role.physics:
            demo["states"] = episode.observations[spec.name][:-1]
            demo["final_state"] = episode.observations[spec.name][-1]


def _write_complete(demo: h5py.Group, episode: Episode, manifest: Manifest) -> None:
    demo["actions"] = _wide(episode.actions)
    for spec in manifest.observations:
        if spec.role is not Role.physics:
            array = _wide(episode.observations[spec.name])
            _store(demo, f"obs/{spec.name}", array[:-1], spec)
            _store(demo, f"next_obs/{spec.name}", array[1:], spec)


def _write_incomplete(demo: h5py.Group, episode: Episode, manifest: Manifest) -> None:
    if episode.actions is not None:
        demo["actions"] = _wide(episode.actions[episode.action_observed])
        demo["action_observed"] = episode.action_observed
    for spec in manifest.observations:
        if spec.role is not Role.physics:
            _store(demo, f"obs/{spec.name}", _wide(episode.observations[spec.name]), spec)


def _store(demo: h5py.Group, name: str, array: np.ndarray, spec: ArraySpec) -> None:
    storage = compression(spec) if is_chunked(spec) else {}
    demo.create_dataset(name, data=array, **storage)


def _wide(array: np.ndarray | None) -> np.ndarray:
    """Single numbers as rows of one, which is what robomimic expects."""
    assert array is not None
    return array[:, None] if array.ndim == 1 else array


def _env_args(manifest: Manifest) -> str:
    """The environment as the file said that this came from, or in robomimic's words."""
    known = {json.dumps(entry.settings.get(ENV_ARGS)) for entry in manifest.provenance}
    if len(known) == 1 and (text := known.pop()) != "null":
        return text
    environment = manifest.environment
    name = "unknown" if environment is None else environment.task
    kwargs = {} if environment is None else environment.model_dump(mode="json")
    return json.dumps({"env_name": name, "type": GYM, "env_kwargs": kwargs})


def _said(outgoing: Outgoing, complete: int, rest: int) -> list[str]:
    said = []
    if rest:
        said.append(
            f"{rest} trajectories without all their actions stand under unlabeled/, not data/: "
            "robomimic would take what is missing for zeros"
        )
    if not complete:
        said.append("no trajectory has all its actions: robomimic will find no demonstration")
    if outgoing.view.overlay is not None:
        said.append(f"inferred actions of {outgoing.view.overlay.name} are left out")
    return said
