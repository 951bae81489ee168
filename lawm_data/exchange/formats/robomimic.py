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
from lawm_schemas import ArraySpec, CorpusError, LabelState, Manifest, Provenance, Role

from lawm_data.corpus.layout import is_chunked
from lawm_data.corpus.table import FINAL_MISSING, NO_REWARDS
from lawm_data.corpus.writing.encode import compression
from lawm_data.exchange.formats._hdf5_sidecar import (
    Hdf5Writer,
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
    REWARDS_NOTE,
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
    require_none,
    unrecorded_action,
    wanted,
)
from lawm_data.exchange.untrusted.arrays import (
    column,
    first_difference,
    flags,
    observation_spec,
    require_finite,
)
from lawm_data.exchange.untrusted.hdf5 import OTHER_FORMAT, ForeignFile

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
    settings={**DECLARED, **UNRECORDED, **WITHOUT},
)
GROUP = "lawm"
"""Group of what our own files say of themselves."""
ENV_ARGS = "env_args"
"""Attribute with the environment as JSON, and the setting of the provenance that keeps it."""
GYM = 2
"""robomimic's number for environments that are made by name."""
_DEMO = re.compile(r"demo_(\d{1,9})")
_KNOWN = ("actions", "rewards", "dones")
_GROUPS = ("data", "mask")
_TAKEN = ("num_samples", "seed", "model_file", *NO_REWARDS, *FINAL_MISSING)
"""Attributes of a demonstration that are no metadata: known otherwise, long, or words of ours."""


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a file of demonstrations; see ``FormatModule.read``."""
    return read_file(place, settings, GROUP, read_export, read_foreign)


def write(outgoing: Outgoing, path: Path, place: str, settings: Mapping[str, Any]) -> Sequence[str]:
    """Write a view; see ``FormatModule.write``."""
    view, metadata = outgoing.view, []
    name_of, total, notes = {}, 0, []
    with new_hdf5(path, place) as writer:
        file = writer.file
        data, unlabeled = file.create_group("data"), file.create_group("unlabeled")
        for i, episode in enumerate(outgoing):
            metadata.append(encoded(episode.metadata))
            steps, name = len(episode.rewards), f"demo_{i}"
            demo = writer.group(data if episode.complete else unlabeled, name)
            demo.attrs["num_samples"] = steps
            demo.attrs["labels"] = "" if episode.labels is None else episode.labels.value
            _write_demonstration(writer, demo, episode, view.manifest)
            total += steps if episode.complete else 0
            name_of[episode.trajectory_id] = name
            writer.require_space()
        data.attrs["total"] = total
        data.attrs[ENV_ARGS] = _env_args(view.manifest)
        for mask in outgoing.masks:
            names = [name_of[labeled] for labeled in mask.labeled]
            file[f"mask/{mask.name}"] = np.array(names, "S")
        write_sidecar(file.create_group(GROUP), outgoing, metadata)
        if len(unlabeled):
            notes.append(
                f"{len(unlabeled)} trajectories without all their actions stand under unlabeled/, "
                "not data/: robomimic would take what is missing for zeros"
            )
        if not len(data):
            notes.append("no trajectory has all its actions: robomimic will find no demonstration")
    if view.overlay is not None:
        notes.append(f"inferred actions of {view.overlay.name} are left out")
    return notes


def _write_demonstration(
    writer: Hdf5Writer, demo: h5py.Group, episode: Episode, manifest: Manifest
) -> None:
    steps = len(episode.rewards)
    writer.store(demo, "rewards", episode.rewards)
    writer.store(demo, "dones", np.arange(1, steps + 1) // steps * int(episode.terminated))
    if episode.actions is not None and episode.complete:
        writer.store(demo, "actions", _wide(episode.actions))
    elif episode.actions is not None and episode.action_observed is not None:
        writer.store(demo, "actions", _wide(episode.actions[episode.action_observed]))
        writer.store(demo, "action_observed", episode.action_observed)
    groups: dict[str, h5py.Group] = {}

    def store(group: str, spec: ArraySpec, array: np.ndarray) -> None:
        if group not in groups:
            groups[group] = writer.group(demo, group)
        if is_chunked(spec):
            groups[group].create_dataset(spec.name, data=array, **compression(spec))
        else:
            writer.store(groups[group], spec.name, array)

    for spec in manifest.observations:
        array = episode.observations[spec.name]
        if spec.role is Role.physics:
            writer.store(demo, "states", array[:-1])
            writer.store(demo, "final_state", array[-1])
        elif episode.complete:
            store("obs", spec, _wide(array)[:-1])
            store("next_obs", spec, _wide(array)[1:])
        else:
            store("obs", spec, _wide(array))


def _wide(array: np.ndarray) -> np.ndarray:
    """Single numbers as rows of one, which is what robomimic expects."""
    return array[:, None] if array.ndim == 1 else array


def _env_args(manifest: Manifest) -> str:
    """The environment as the file said that this came from, or in robomimic's words."""
    known = [entry.settings.get(ENV_ARGS) for entry in manifest.provenance]
    texts = {said if isinstance(said, str) else json.dumps(said) for said in known}
    if len(texts) == 1 and (text := texts.pop()) != "null":
        return text
    environment = manifest.environment
    name = "unknown" if environment is None else environment.task
    kwargs = {} if environment is None else environment.model_dump(mode="json")
    return json.dumps({"env_name": name, "type": GYM, "env_kwargs": kwargs})


def demonstrations(file: ForeignFile, group: str) -> list[str]:
    """Names of the demonstrations of a group, by their number.

    Raises:
        CorpusError: a group of another name stands there; robomimic could not read it either.
    """
    names = file.names(group, "group")
    odd = [name for name in names if not _DEMO.fullmatch(name)]
    if odd:
        raise file.refuse(
            f"{group}/{odd[0]}", "is not named like demo_0", "rename it, or remove it"
        )
    return sorted(names, key=lambda name: int(name[5:]))


def read_export(file: ForeignFile, sidecar: Sidecar, settings: Mapping[str, Any]) -> Incoming:
    """A corpus that was exported."""
    refuse_settings(settings, str(file.path))
    complete = sidecar.complete.tolist()
    places = [f"{'data' if whole else 'unlabeled'}/demo_{i}" for i, whole in enumerate(complete)]
    there = {f"{g}/{name}" for g in ("data", "unlabeled") for name in demonstrations(file, g)}
    odd = sorted(there ^ set(places))
    if odd:
        hint = f"remove the group {GROUP}, and the file is read like any other"
        raise CorpusError("was added or removed after the export", file.where(odd[0]), hint)
    name_of = {name: f"demo_{i}" for i, name in enumerate(sidecar.id)}
    masks, notes = [], []
    for mask in sidecar.masks:
        key = f"mask/{mask.name}"
        labeled = file.labels(key, sidecar.count) if file.has(key) else None
        if labeled == [name_of.get(name) for name in mask.labeled]:
            masks.append(mask)
        else:
            notes.append(f"mask {mask.name} was changed after the export and is left out")
    others = sorted(set(file.names("mask")) - {mask.name for mask in sidecar.masks})
    if others:
        notes.append(f"filter keys that the export did not write are left out: {', '.join(others)}")
    return sidecar.incoming(_restore(file, sidecar, places), tuple(masks), sorted(notes))


def _restore(file: ForeignFile, sidecar: Sidecar, places: list[str]) -> Iterator[Episode]:
    for i, place in enumerate(places):
        steps, whole = int(sidecar.length[i]), bool(sidecar.complete[i])
        observations = {
            spec.name: _exported_observations(file, place, spec, steps, whole)
            for spec in sidecar.manifest.observations
        }
        rewards = exported_rows(file, f"{place}/rewards", (steps,))[:]
        actions = observed = None
        count, shape = int(sidecar.num_observed[i]), sidecar.manifest.action.shape
        if count:
            found = exported_rows(file, f"{place}/actions", (count, *(shape or (1,))))
            actions = found[:].reshape(-1, *shape)
        if actions is not None and count < steps:
            name = f"{place}/action_observed"
            observed = flags(file.read_rows(name, steps), file.where(name))
            actions = at_observed(actions, observed, file.where(name))
        yield sidecar.episode(i, observations, rewards, actions, observed)


def _exported_observations(
    file: ForeignFile, place: str, spec: ArraySpec, steps: int, whole: bool
) -> np.ndarray:
    """An array of observations, (T+1, *shape), from its two parts."""
    shape, name = spec.shape or (1,), f"obs/{spec.name}"  # single numbers are rows of one
    if spec.role is Role.physics:
        states = exported_rows(file, f"{place}/states", (steps, *spec.shape))[:]
        parts = states, exported_rows(file, f"{place}/final_state", spec.shape)[()][None]
    elif whole:
        last = exported_rows(file, f"{place}/next_{name}", (steps, *shape))
        parts = exported_rows(file, f"{place}/{name}", (steps, *shape))[:], last[steps - 1 :]
    else:
        parts = (exported_rows(file, f"{place}/{name}", (steps + 1, *shape))[:],)
    return np.concatenate(parts).reshape(-1, *spec.shape)


def read_foreign(file: ForeignFile, settings: Mapping[str, Any]) -> Incoming:
    """Demonstrations that robomimic or one of its converters wrote."""
    demos = demonstrations(file, "data")
    if not demos:
        raise file.refuse("data", "holds no demonstration (data/demo_0)", OTHER_FORMAT)
    layout = _layout(file, demos, settings)
    keys: dict[str, list[str]] = {demo: [] for demo in demos}
    unknown: list[str] = []
    for key in file.names("mask"):
        for demo in file.labels(f"mask/{key}", len(demos)):
            keys.get(demo, unknown).append(key)
    (known, left), (set_wide, more) = file.described(""), file.described("data")
    known |= set_wide
    known.pop("total", None)
    source = Provenance(source=f"robomimic:{file.path.name}", origin="import", settings=known)
    notes = _notes(file, demos, layout, settings, sorted({*left, *more}))
    if unknown:
        names = ", ".join(dict.fromkeys(unknown))
        notes.append(f"filter keys that name demonstrations that are not there: {names}")
    return Incoming(
        observations=tuple(layout.observations.values()),
        action=layout.action,
        trajectories=_demonstrations(file, demos, layout, keys, source, notes),
        count=len(demos),
        name=file.path.name,
        files=(file.path,),
        environment=declared_environment(settings),
        notes=notes,
        close=file.close,
    )


class _Layout(NamedTuple):
    observations: dict[str, ArraySpec]
    """By their path below ``obs``."""
    left: frozenset[str]
    """Paths below ``obs`` that are not read."""
    action: ArraySpec
    recorded: bool
    """Some demonstration has actions."""
    rewarded: bool
    followed: bool
    """Whether the observation after the last step is there (``next_obs``)."""
    whole: bool
    """Whether the last step is kept all the same, since its reward or its end was recorded."""


def _layout(file: ForeignFile, demos: list[str], settings: Mapping[str, Any]) -> _Layout:
    first = f"data/{demos[0]}"
    paths = file.tree(f"{first}/obs")
    if not paths:
        hint = "let robomimic's dataset_states_to_obs extract them"
        raise CorpusError("holds no observations", file.where(f"{first}/obs"), hint)
    kept, specs = wanted(settings, {path.replace("/", "."): path for path in paths}), {}
    for name, path in kept.items():
        with dispensable(name, kept):
            place = f"{first}/obs/{path}"
            shape, dtype = file.header(place)
            specs[path] = observation_spec(name, shape[1:], dtype, file.where(place))
    labeled = [f"data/{demo}/actions" for demo in demos if file.has(f"data/{demo}/actions")]
    if labeled:
        require_none(settings, UNRECORDED, "files without actions")
        shape, dtype = file.header(labeled[0])
        recorded = (file.rows(name, again=True)[()] for name in labeled)
        action = declared_action(settings, shape[1:], dtype, file.where(labeled[0]), recorded)
    else:
        action = unrecorded_action(settings)
    rewarded, followed = file.has(f"{first}/rewards"), file.has(f"{first}/next_obs")
    whole = followed or rewarded or file.has(f"{first}/dones")
    left = frozenset(paths) - frozenset(specs)
    return _Layout(specs, left, action, bool(labeled), rewarded, followed, whole)


def _notes(
    file: ForeignFile,
    demos: list[str],
    layout: _Layout,
    settings: Mapping[str, Any],
    more: list[str],
) -> list[str]:
    left = _unread(file, demos)
    kept, unfit = file.described(f"data/{demos[0]}")
    left += [*unfit, *({"model_file"} & {*kept}), *more]
    left += [f"obs/{path}" for path in sorted(layout.left)]
    left += [name for name in (*file.names(), *file.names(kind="group")) if name not in _GROUPS]
    notes = nested_note(spec.name for spec in layout.observations.values())
    told = [key for key in kept if key not in _TAKEN]
    notes += [f"attributes that became metadata: {', '.join(told)}"] if told else []
    notes += [
        "dones does not tell a terminal state from a limit: a demonstration whose last done is 1 "
        "counts as terminated, the others as truncated"
    ]
    if not layout.followed and layout.whole:
        notes.append(f"there is no next_obs: {FINAL_NOTE}")
    if not layout.whole:
        notes.append("there is no next_obs: the last step of each demonstration was left out")
    if not layout.rewarded:
        notes.append(REWARDS_NOTE)
    if not layout.recorded:
        notes.append(UNRECORDED_NOTE)
    if left:
        notes.append(f"not kept: {', '.join(left)}")
    if layout.action.low is not None and "low" not in settings:
        notes.append(BOUNDS_NOTE)
    return notes


def _unread(file: ForeignFile, demos: list[str]) -> list[str]:
    """Arrays and groups of any demonstration that have no place in a corpus."""
    found: dict[str, None] = {}
    for demo in demos:
        # a link is listed, too, and followed by nobody
        found |= dict.fromkeys(path.partition("/")[0] for path in file.tree(f"data/{demo}"))
    return [name for name in found if name not in (*_KNOWN, "obs", "next_obs")]


def _demonstrations(
    file: ForeignFile,
    demos: list[str],
    layout: _Layout,
    keys: Mapping[str, list[str]],
    source: Provenance,
    notes: list[str],
) -> Iterator[Episode]:
    """The trajectories; ``notes`` grows by attributes that only later ones have and lose."""
    told: set[str] = set()
    for demo in demos:
        said, unfit = file.described(f"data/{demo}")
        lost = {*unfit, *({"model_file"} & {*said})}
        if demo != demos[0] and lost - told:
            notes.append(f"not kept of {demo}: {', '.join(sorted(lost - told))}")
        told |= lost
        yield _demonstration(file, demo, layout, keys[demo], source, said)


def _demonstration(
    file: ForeignFile,
    demo: str,
    layout: _Layout,
    keys: list[str],
    source: Provenance,
    said: Mapping[str, Any],
) -> Episode:
    place = f"data/{demo}"
    rows = _rows(file, place, layout)
    steps = rows if layout.whole else rows - 1
    observations = {
        spec.name: _observed(file, place, path, spec, rows, layout)
        for path, spec in layout.observations.items()
    }
    rewards = np.zeros(steps, np.float32)
    metadata = {k: v for k, v in said.items() if k not in _TAKEN}
    metadata |= {"demo": demo, **({} if layout.rewarded else NO_REWARDS)}
    metadata |= FINAL_MISSING if layout.whole and not layout.followed else {}
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
    terminated = layout.whole and bool(done[-1])
    return Episode(
        observations=observations,
        rewards=rewards,
        provenance=source,
        actions=actions,
        terminated=terminated,
        truncated=not terminated,
        seed=_seed(file.attributes(place).get("seed")),
        metadata=metadata,
    )


def _seed(value: Any) -> int | None:
    """The seed of the reset, where the attribute is one."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return int(value) if whole and 0 <= int(value) < 1 << 64 else None


def _rows(file: ForeignFile, place: str, layout: _Layout) -> int:
    """Rows of a demonstration, as its first array and ``num_samples`` agree.

    A demonstration with what the first one lacks is refused: it would be lost without a word.
    """
    known = {*layout.observations, *layout.left}
    more = [f"obs/{path}" for path in file.tree(f"{place}/obs") if path not in known]
    more += ["rewards"] if file.has(f"{place}/rewards") and not layout.rewarded else []
    more += ["next_obs"] if file.has(f"{place}/next_obs") and not layout.followed else []
    if more:
        name = more[0].removeprefix("obs/").replace("/", ".")
        hint = "all demonstrations hold the same arrays"
        hint += f"; leave it out with --without {name}" if more[0].startswith("obs/") else ""
        where = file.where(f"{place}/{more[0]}")
        raise CorpusError("is not in the first demonstration", where, hint)
    path, spec = next(iter(layout.observations.items()))
    name = f"{place}/obs/{path}"
    with dispensable(spec.name, layout.observations):
        rows, *_ = file.header(name)[0] or (0,)
    if rows < (1 if layout.whole else 2):
        hint = "leave it out: a trajectory has one step or more"
        raise CorpusError(f"has {rows} rows", file.where(name), hint)
    counted = file.attributes(place).get("num_samples", rows)
    if counted != rows:
        what = f"has {rows} rows where num_samples says {counted}"
        raise CorpusError(what, file.where(name), "make the lengths agree")
    return rows


def _observed(
    file: ForeignFile, place: str, path: str, spec: ArraySpec, rows: int, layout: _Layout
) -> np.ndarray:
    """An array of observations, (steps + 1, *shape)."""
    with dispensable(spec.name, layout.observations):
        array = _like(_finite(file, f"{place}/obs/{path}", rows), spec, file, place)
        if not layout.followed:
            return repeat_last(array) if layout.whole else array
        name = f"{place}/next_obs/{path}"
        later = _like(_finite(file, name, rows), spec, file, place)
        row = first_difference(later[:-1], array[1:])
        if row is not None:
            what = f"row {row} is not row {row + 1} of obs/{path}"
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
