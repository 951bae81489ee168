"""LeRobot sets on their way in: those written by us, to the bit, and all others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Provenance, Role
from lawm_schemas.arrays import DTYPES

from lawm_data.corpus.latents import CODE, KNOWN, LATENT, LatentActions
from lawm_data.corpus.rate import FPS
from lawm_data.corpus.table import FINAL_MISSING, NO_REWARDS
from lawm_data.exchange.formats import _settings
from lawm_data.exchange.formats._protocol import FINAL_NOTE, Episode, Incoming, repeat_last
from lawm_data.exchange.formats.lerobot import features as names
from lawm_data.exchange.formats.lerobot import language
from lawm_data.exchange.formats.lerobot.depth import is_depth, millimetres
from lawm_data.exchange.formats.lerobot.frames import (
    TOLERANCE,
    FrameColumn,
    FrameReader,
    Frames,
    first_picture,
)
from lawm_data.exchange.formats.lerobot.info import PICTURES, FeatureInfo, Info, read_info
from lawm_data.exchange.formats.lerobot.sidecar import HINT as RESTORE
from lawm_data.exchange.formats.lerobot.sidecar import INFERRED, Ending, Sidecar, read_sidecar
from lawm_data.exchange.formats.lerobot.tasks import TaskReader
from lawm_data.exchange.untrusted.arrays import WIDER
from lawm_data.system.images import MODES

_ENDS = (names.DONE, names.TERMINATED, names.TRUNCATED)
_NUMBERS = {dtype: dtype for dtype in DTYPES} | WIDER
"""Types of numbers, and the ones that a corpus keeps them in."""
_READ = (names.REWARD, *_ENDS, names.OBSERVED, *names.COUNTERS)
"""Features that are read, or follow from the others."""
_NO_ACTIONS = dict.fromkeys((LATENT, CODE), "latent") | dict.fromkeys(
    (names.MEAN, names.STD), "inferred"
)
"""Features of an export that hold actions which nobody recorded."""
_NAMED = 10
"""Episodes that a note names; of more it says how many."""


def open_set(root: Path, settings: Mapping[str, Any]) -> Incoming:
    """Open a set.

    Raises:
        ConfigError: a setting makes no sense, or a package is missing.
        CorpusError: not a set, a damaged one, or one of another version.
    """
    info = read_info(root)
    sidecar = read_sidecar(root)
    if sidecar is None:
        return open_foreign(info, settings)
    others = set(settings) - {"without"}
    _settings.require_none(settings, others, "other people's sets, and this one is an export")
    without = _settings.listed(settings, "without")
    kept = _less(sidecar, without) if without else sidecar
    left = [spec.name for spec in sidecar.observations if spec not in kept.observations]
    return open_export(info, kept, left)


def open_foreign(info: Info, settings: Mapping[str, Any]) -> Incoming:
    """Open a set that has no sidecar of ours.

    Raises:
        ConfigError: a setting makes no sense.
        CorpusError: there is nothing to observe in it, or it does not fit a corpus.
    """
    size = _settings.whole(settings, "size", 0, 4096, 0)
    tolerance = _settings.rate(settings, "tolerance", TOLERANCE)
    names_of = {_short(key): key for key in info.features} | {key: key for key in info.features}
    without = [names_of.get(name, name) for name in _settings.listed(settings, "without")]
    also = _settings.listed(settings, "observation")
    for key in (*without, *also):
        if key not in info.features:
            there = ", ".join(key for key in info.features if key not in names.COUNTERS)
            raise ConfigError(f"there is no feature {key!r}", "the set", f"there are {there}")
    kept = {key: feature for key, feature in info.features.items() if key not in without}
    action, parts, left = _action(kept, settings, str(info.root))
    sentences = [k for k in language.COLUMNS if k in kept and kept[k].dtype == language.DTYPE]
    observed = {}
    for key, feature in kept.items():
        taken = [spec.name for spec, _ in observed.values()]
        if key in (*parts, *left, *sentences, *_READ):
            continue
        found = _observation(info, key, feature, taken, size, key in also)
        if found is not None:
            observed[key] = found
        else:
            left.append(key)
    left += without
    if not observed:
        hint = "name the features that are, with --set observation=…"
        raise CorpusError("has no observations", str(info.root), hint)
    columns = {key: column for key, (_, column) in observed.items()}
    for key in parts:
        feature = info.features[key]
        columns[key] = FrameColumn(
            "numbers", feature.shape, None, nullable=True, become=_NUMBERS[feature.dtype]
        )
    if names.REWARD in kept:
        become = _NUMBERS.get(kept[names.REWARD].dtype)
        columns[names.REWARD] = FrameColumn("numbers", (1,), None, nullable=True, become=become)
    for key in _ENDS:
        if key in kept:
            columns[key] = FrameColumn("numbers", (1,), None)
    if parts and _says_observed(info, kept):
        columns[names.OBSERVED] = FrameColumn("numbers", (1,), "bool")
    if names.TASK in kept:
        columns[names.TASK] = FrameColumn("numbers", (1,), None, nullable=True)
    whole = any(key in columns for key in (names.REWARD, *_ENDS))
    single = [] if whole else np.flatnonzero(info.episodes.length == 1).tolist()
    if len(single) == len(info.episodes.length):
        raise CorpusError("has no episode of two frames", str(info.root), "nothing leads anywhere")
    arrays = {key: spec.name for key, (spec, _) in observed.items()}
    provenance = Provenance(
        source=f"lerobot:{info.root.resolve().name}",
        origin="import",
        settings=_described(info, arrays, parts),
    )
    notes = _notes(info, columns, parts, left, single, whole)
    reader = FrameReader(info, columns, tolerance, sentences, notes)
    tasks = TaskReader(info, notes)
    return Incoming(
        observations=tuple(spec for spec, _ in observed.values()),
        action=action,
        trajectories=_foreign_episodes(
            info, reader, tasks, arrays, parts, action, provenance, whole
        ),
        count=len(info.episodes.length) - len(single),
        files=(*info.files(left), *tasks.files),
        environment=_settings.declared_environment(settings),
        notes=notes,
    )


def _action(
    features: Mapping[str, FeatureInfo], settings: Mapping[str, Any], where: str
) -> tuple[ArraySpec, list[str], list[str]]:
    """The action, the features that make it side by side, and those that are left out for it.

    LeRobot takes every feature whose name begins with "action" for an action; its policies learn
    the one that is called ``action`` where there is one.

    Raises:
        ConfigError: ``action`` names no feature of numbers.
        CorpusError: what the set calls actions cannot be put side by side.
    """
    width = _settings.whole(settings, "actions", 1, 10_000, 1)
    like = [key for key in features if key.startswith(names.ACTION)]
    numbers = [key for key, feature in features.items() if feature.dtype in _NUMBERS]
    given = _settings.listed(settings, "action")
    for key in given:
        if key not in numbers:
            there = ", ".join(key for key in numbers if key not in _READ)
            what = f"there is no feature of numbers {key!r}"
            raise ConfigError(what, "action", f"there are {there}")
        if key in _NO_ACTIONS:
            hint = "name the feature with the actions, or leave the setting out"
            what = f"{key} holds {_NO_ACTIONS[key]} actions, not actions"
            raise ConfigError(what, "action", hint)
    parts = given or ([names.ACTION] if names.ACTION in like else like)
    if not parts:
        bounds: Any = _settings.declared_bounds(settings, width) or {}
        return ArraySpec(name="action", shape=(width,), role=Role.action, **bounds), [], []
    for key in parts:
        if key not in numbers or (len(parts) > 1 and features[key].dtype == "bool"):
            what = f"has type {features[key].dtype}, and LeRobot takes it for an action"
            hint = "say which features are the action: --set action=FEATURE,…"
            raise CorpusError(what, f"{where}: feature {key}", hint)
    dtype = np.result_type(*(_NUMBERS[features[key].dtype] for key in parts)).name
    shape = features[parts[0]].shape
    if len(parts) > 1:
        shape = (sum(int(np.prod(features[key].shape)) for key in parts),)
    bounds: Any = _settings.declared_bounds(settings, int(np.prod(shape))) or {}
    action = ArraySpec(name="action", shape=shape, dtype=dtype, role=Role.action, **bounds)
    return action, parts, [key for key in like if key not in parts]


def _says_observed(info: Info, kept: Mapping[str, FeatureInfo]) -> bool:
    """Whether the set says which of its actions were recorded, as our exports do in a column.

    Raises:
        CorpusError: it did, but cannot any more; zeros would pass for actions.
    """
    flag = kept.get(names.OBSERVED)
    if flag is not None and (flag.dtype, flag.shape) != ("bool", (1,)):
        what = f"has type {flag.dtype} and shape {flag.shape}, not bool and (1,)"
        hint = "restore it, or take all actions for recorded ones with --without"
        raise CorpusError(
            what, f"{info.root}: feature {names.OBSERVED}", f"{hint} {names.OBSERVED}"
        )
    if names.LABELS in kept and names.OBSERVED not in info.features:
        what = f"is there without {names.OBSERVED}, which says where actions were recorded"
        hint = "restore that one, or take all actions for recorded ones with --without"
        raise CorpusError(what, f"{info.root}: feature {names.LABELS}", f"{hint} {names.LABELS}")
    return flag is not None


def _observation(
    info: Info, key: str, feature: FeatureInfo, taken: list[str], size: int, also: bool
) -> tuple[ArraySpec, FrameColumn] | None:
    """The array for a feature and how it is read, or None when it observes nothing."""
    picture = feature.dtype in PICTURES
    observes = key.startswith("observation.") or key == "observation" or also
    if not picture and not (observes and feature.dtype in _NUMBERS):
        return None
    name = _short(key)
    while name in taken:
        name += "_"
    if not picture:
        dtype = _NUMBERS[feature.dtype]
        spec = ArraySpec(name=name, shape=feature.shape, dtype=dtype)
        return spec, FrameColumn("numbers", feature.shape, None, become=dtype)
    shape, where = _picture_shape(feature, f"{info.root}: feature {key}"), f"feature {key}"
    column = FrameColumn(feature.dtype, shape, "uint8", (size, size) if size else None)
    metres = is_depth(feature.info) and feature.info.get("depth_unit") == "m"
    if shape[2] == 1:
        found = first_picture(info, key, column._replace(metres=metres))
        column = column._replace(dtype=found.dtype.name, metres=metres)
        if feature.dtype == "video" and is_depth(feature.info) and found.dtype == np.uint16:
            # more bits hold the distances themselves
            twelve = "16" not in str(feature.info.get("video.pix_fmt"))
            codes = millimetres(feature.info, where) if twelve else None
            column = column._replace(codes=codes)
    spec = ArraySpec(name=name, shape=column.kept, dtype=column.dtype or "", role=Role.pixels)
    return spec, column


def _short(key: str) -> str:
    """What a corpus calls a feature."""
    name = re.sub(r"[^\w.-]", "_", key)[:90]
    for start in ("observation.images.", "observation."):
        name = name.removeprefix(start)
    return name.lstrip(".") or "observation"


def _picture_shape(feature: FeatureInfo, where: str) -> tuple[int, ...]:
    """(height, width, channels), from the names of the axes or else from their sizes.

    Raises:
        CorpusError: no picture that can be read.
    """
    shape = feature.shape
    if len(shape) != 3:
        what = f"has pictures of shape {shape}"
        raise CorpusError(what, where, "leave it out with --without")
    axes = feature.names.get("axes") if isinstance(feature.names, dict) else feature.names
    axes = [str(axis).lower() for axis in axes] if isinstance(axes, list) else []
    channels = [i for i, axis in enumerate(axes) if axis in ("c", "channel", "channels", "rgb")]
    fit = [i for i in (2, 0) if shape[i] in MODES]
    # a name that the sizes speak against is a mistake that many sets have
    at = next((i for i in channels if i in fit), fit[0] if fit else None)
    if at is None:
        what = f"has pictures of shape {shape}, none of 1 to 4 channels"
        raise CorpusError(what, where, "leave it out with --without")
    return shape if at == 2 else (*shape[1:], shape[0])


def _described(info: Info, arrays: Mapping[str, str], parts: list[str]) -> dict[str, Any]:
    """What the set says of itself, for the provenance: nothing else of a corpus holds it."""
    found: dict[str, Any] = {FPS: info.fps}
    found |= {key: value for key, value in info.about.items() if value not in (None, {}, [])}
    elements = {arrays.get(key, key): info.features[key].names for key in (*arrays, *parts)}
    elements = {key: value for key, value in elements.items() if value is not None}
    return found | ({"names": elements} if elements else {})


def _foreign_episodes(
    info: Info,
    reader: FrameReader,
    tasks: TaskReader,
    arrays: Mapping[str, str],
    parts: list[str],
    action: ArraySpec,
    provenance: Provenance,
    rewarded: bool,
) -> Iterator[Episode]:
    """T frames as T steps where rewards or ends were recorded (``rewarded``), else as T-1.

    Nothing is known of where the last action led; its reward, and that it was the end, are.
    """
    for number, frames in enumerate(reader):
        found = frames.arrays
        whole = rewarded and not _is_dummy(frames)
        steps = len(next(iter(found.values()))) - (not whole)
        metadata = tasks.next(frames, steps)
        if not steps:
            continue
        observed = np.full(steps, bool(parts))
        for key in parts:
            observed &= frames.there[key][:steps]
        if names.OBSERVED in found:
            observed &= found[names.OBSERVED][:steps, 0]
        actions = None
        if observed.any():
            flat = [found[key][:steps].reshape(steps, -1) for key in parts]
            actions = np.concatenate(flat, 1).astype(action.dtype).reshape(steps, *action.shape)
        where = f"{info.root}: episode {number}"
        rewards = _rewards(frames, steps, where)
        terminated, truncated = _ends(found, steps, where)
        metadata |= FINAL_MISSING if whole else {}
        splits = info.splits_of(number)
        metadata |= {"split": splits[0]} if splits else {}
        metadata |= {"splits": splits} if len(splits) > 1 else {}
        metadata |= {"language": frames.sentences} if frames.sentences else {}
        yield Episode(
            observations={
                name: repeat_last(found[key]) if whole else found[key]
                for key, name in arrays.items()
            },
            rewards=np.zeros(steps, np.float32) if rewards is None else rewards,
            provenance=provenance,
            actions=actions,
            action_observed=None if actions is None else observed,
            terminated=terminated,
            truncated=truncated,
            metadata=metadata | (NO_REWARDS if rewards is None else {}),
        )


def _rewards(frames: Frames, steps: int, where: str) -> np.ndarray | None:
    """(T,) rewards, or None when none was recorded.

    Raises:
        CorpusError: some are missing.
    """
    if names.REWARD not in frames.arrays:
        return None
    there = frames.there[names.REWARD][:steps]
    if there.all():
        return frames.arrays[names.REWARD][:steps, 0]
    if not there.any():
        return None
    what = f"{names.REWARD} is missing in frame {np.flatnonzero(~there)[0]}, and not in all"
    raise CorpusError(what, where, f"leave it out with --without {names.REWARD}")


def _is_dummy(frames: Frames) -> bool:
    """Whether the last frame has no step: its reward is missing, or the step before was the end.

    Where all rewards of an episode are missing, that of the last frame says nothing.
    """
    if names.REWARD in frames.arrays:
        there = frames.there[names.REWARD]
        if there.any() and not there[-1]:
            return True
    return any(frames.arrays[k][-2:-1, 0].any() for k in _ENDS if k in frames.arrays)


def _ends(found: Mapping[str, np.ndarray], steps: int, where: str) -> tuple[bool, bool]:
    """Whether the last step that is kept terminated, or was truncated."""
    none = np.zeros(len(next(iter(found.values()))), bool)
    done, terminated, truncated = (found[k][:, 0] != 0 if k in found else none for k in _ENDS)
    if names.TERMINATED not in found:
        terminated = done & ~truncated
    truncated = truncated | (done & ~terminated)  # an end that is no terminal state
    marked, last = done | terminated | truncated, steps - 1
    early = np.flatnonzero(marked[:last])
    if len(early):
        what = f"ends at frame {early[0]} of {len(none)}"
        raise CorpusError(what, where, "split the episode there")
    # where a step is left out that ended, what is left was cut before the end
    cut = bool(marked[steps:].any()) and not terminated[last]
    return bool(terminated[last]), bool(truncated[last]) or cut


def _notes(
    info: Info,
    columns: Mapping[str, FrameColumn],
    parts: list[str],
    left: list[str],
    single: list[int],
    whole: bool,
) -> list[str]:
    notes = [
        f"recorded at {info.fps:g} frames a second",
        FINAL_NOTE
        if whole
        else "no observation follows the last action of an episode, which was left out",
    ]
    if single:
        named = ", ".join(map(str, single[:_NAMED])) + (", …" if len(single) > _NAMED else "")
        notes.append(f"{len(single)} episodes of a single frame were left out: {named}")
    if names.REWARD not in columns:
        notes.append("no rewards were recorded: they are zero, and metadata says rewards: none")
    if not parts:
        notes.append("no actions were recorded: they are missing, and their shape is a setting")
    else:
        if parts != [names.ACTION]:
            notes.append(f"the action is {' and '.join(parts)}")
        notes.append("actions that are null or all NaN are taken as not observed")
    if names.OBSERVED in columns:
        notes.append(f"actions that {names.OBSERVED} does not mark are missing, inferred ones too")
    told = {names.TRUNCATED, names.TERMINATED} & set(columns)
    if names.DONE in columns and not told:
        notes.append("next.done is read as terminated: nothing tells it from truncated")
    if names.DONE in columns and told == {names.TERMINATED}:
        notes.append("a next.done that is not next.terminated is read as truncated")
    if names.DONE in columns and told == {names.TRUNCATED}:
        notes.append("a next.done that is not next.truncated is read as terminated")
    sized = [(key, column) for key, column in columns.items() if column.edges]
    notes += [f"{key} was resized from {c.shape[0]} x {c.shape[1]}" for key, c in sized]
    deep = [key for key, column in columns.items() if column.dtype == "uint16"]
    notes += [f"{', '.join(deep)}: kept as uint16, 16 bits a pixel"] if deep else []
    coded = [key for key, column in columns.items() if column.codes is not None or column.metres]
    notes += [f"{', '.join(coded)}: depths in whole millimetres"] if coded else []
    films = [key for key, column in columns.items() if column.storage == "video"]
    notes += [f"{', '.join(films)}: pictures as the video kept them"] if films else []
    return notes + ([f"left out: {', '.join(left)}"] if left else [])


def _less(sidecar: Sidecar, without: list[str]) -> Sidecar:
    """The same set without some features, given by their name or that of their only array.

    Raises:
        ConfigError: there is no such feature, or none is left.
    """
    names_of = {
        feature.name: {feature.name, *(s.name for s in feature.arrays if len(feature.arrays) == 1)}
        for feature in sidecar.features
    }
    for name in without:
        if not any(name in found for found in names_of.values()):
            there = ", ".join(names_of)
            raise ConfigError(f"there is no feature {name!r}", "the set", f"there are {there}")
    features = tuple(f for f in sidecar.features if names_of[f.name].isdisjoint(without))
    if not features:
        raise ConfigError("leaves no observation", "without", "keep one of them")
    kept = {spec.name for feature in features for spec in feature.arrays}
    observations = tuple(spec for spec in sidecar.observations if spec.name in kept)
    return sidecar._replace(features=features, observations=observations)


def open_export(info: Info, sidecar: Sidecar, left: Sequence[str] = ()) -> Incoming:
    """Open a set that an export wrote, to give the corpus back as it was.

    Args:
        info: the set.
        sidecar: what is read of it.
        left: names of arrays that are not.

    Raises:
        CorpusError: the sidecar is not that of this set.
    """
    if len(sidecar.table) != len(info.episodes.length):
        what = f"knows {len(sidecar.table)} trajectories, and there are {len(info.episodes.length)}"
        raise CorpusError(what, str(sidecar.folder), RESTORE)
    action = sidecar.action
    columns = {
        names.ACTION: FrameColumn("numbers", (action.size,), action.dtype),
        names.REWARD: FrameColumn("numbers", (1,), "float32"),
        names.OBSERVED: FrameColumn("numbers", (1,), "bool"),
    }
    if sidecar.overlay is not None:
        inferred = FrameColumn("numbers", (action.size,), "float32")
        columns |= dict.fromkeys((names.MEAN, names.STD), inferred)
    for name, (dtype, width) in names.latent_columns(sidecar.latents).items():
        columns[name] = FrameColumn("numbers", (width,), dtype)
    for feature in sidecar.features:
        shape = (feature.width,) if feature.storage == "numbers" else feature.arrays[0].shape
        columns[feature.name] = FrameColumn(feature.storage, shape, feature.dtype)
    for name, column in columns.items():
        found = info.features.get(name)
        kind = column.dtype if column.storage == "numbers" else column.storage
        if found is None or (found.dtype, found.shape) != (kind, column.shape):
            raise CorpusError(f"does not fit the feature {name!r}", str(sidecar.folder), RESTORE)
    pairs = zip(FrameReader(info, columns), sidecar.endings(), strict=True)
    films = [f.arrays[0].name for f in sidecar.features if f.storage == "video"]
    notes = [f"{', '.join(films)}: not as recorded, but as mp4 kept it"] if films else []
    notes += [f"left out: {', '.join(left)}"] if left else []
    return Incoming(
        observations=sidecar.observations,
        action=action,
        trajectories=(_exported_episode(sidecar, frames, ending) for frames, ending in pairs),
        count=len(sidecar.table),
        files=(*info.files(), sidecar.table.path),
        environment=sidecar.environment,
        licence=sidecar.licence,
        masks=sidecar.masks,
        overlay=sidecar.overlay,
        latents=sidecar.latents,
        lineage=sidecar.lineage,
        notes=notes,
    )


def _exported_episode(sidecar: Sidecar, frames: Frames, ending: Ending) -> Episode:
    """The trajectory as it was exported."""
    row, observed = ending.row, frames.arrays[names.OBSERVED][:, 0]
    if row["length"] != len(observed):
        what = f"says {row['length']} steps, and there are {len(observed)} frames"
        raise CorpusError(what, f"{sidecar.folder}: {row['id']}", RESTORE)
    found: dict[str, np.ndarray] = {}
    for feature in sidecar.features:
        array = frames.arrays[feature.name]
        pictures = feature.storage != "numbers"
        found |= {feature.arrays[0].name: array} if pictures else names.parted(feature, array)
    inferred = row[INFERRED] and sidecar.overlay is not None
    shape = (len(observed), *sidecar.action.shape)
    return Episode(
        observations={
            spec.name: np.concatenate([found[spec.name], ending.observations[spec.name]])
            for spec in sidecar.observations
        },
        rewards=frames.arrays[names.REWARD][:, 0],
        provenance=sidecar.provenance[row["provenance"]],
        actions=frames.arrays[names.ACTION].reshape(shape) if observed.any() else None,
        action_observed=observed if observed.any() else None,
        terminated=row["terminated"],
        truncated=row["truncated"],
        agent_step=row["agent_step"],
        seed=row["seed"],
        metadata=row["metadata"],
        trajectory_id=row["id"],
        inferred=(frames.arrays[names.MEAN], frames.arrays[names.STD]) if inferred else None,
        latents=None if sidecar.latents is None else _latents(sidecar, frames, row["id"]),
    )


def _latents(sidecar: Sidecar, frames: Frames, trajectory: str) -> LatentActions:
    known = frames.arrays[KNOWN][:, 0]
    count = int(known.sum())
    if not known[:count].all():
        where = f"{sidecar.folder}: {trajectory}"
        raise CorpusError("has a latent action after one that is not known", where, RESTORE)
    codes = frames.arrays.get(CODE)
    values = frames.arrays[LATENT][:count]
    return LatentActions(values, None if codes is None else codes[:count, 0].astype(np.int32))
