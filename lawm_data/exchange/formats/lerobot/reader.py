"""LeRobot sets on their way in: those written by us, to the bit, and all others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, CorpusError, Provenance, Role
from lawm_schemas.arrays import DTYPES

from lawm_data.corpus.table import NO_REWARDS
from lawm_data.exchange.formats import _settings
from lawm_data.exchange.formats._protocol import Episode, Incoming
from lawm_data.exchange.formats.lerobot import features as names
from lawm_data.exchange.formats.lerobot.frames import Column, FrameReader, Frames
from lawm_data.exchange.formats.lerobot.info import PICTURES, FeatureInfo, Info, read_info
from lawm_data.exchange.formats.lerobot.parquet import HINT
from lawm_data.exchange.formats.lerobot.sidecar import HINT as RESTORE
from lawm_data.exchange.formats.lerobot.sidecar import Ending, Sidecar, read_sidecar
from lawm_data.exchange.untrusted.arrays import WIDER
from lawm_data.system.images import MODES

_ENDS = (names.DONE, names.TERMINATED, names.TRUNCATED)
_NUMBERS = {dtype: dtype for dtype in DTYPES} | WIDER
"""Types of numbers, and the ones that a corpus keeps them in."""
_READ = (names.ACTION, names.REWARD, *_ENDS, *names.COUNTERS)
"""Features that are read, or follow from the others; the rest is left out."""


def open_set(root: Path, settings: Mapping[str, Any]) -> Incoming:
    """Open a set.

    Raises:
        ConfigError: a setting makes no sense, or a package is missing.
        CorpusError: not a set, a damaged one, or one of another version.
    """
    info = read_info(root)
    sidecar = read_sidecar(root)
    return open_foreign(info, settings) if sidecar is None else open_export(info, sidecar)


def open_foreign(info: Info, settings: Mapping[str, Any]) -> Incoming:
    """Open a set that has no sidecar of ours.

    Raises:
        ConfigError: a setting makes no sense.
        CorpusError: there is nothing to observe in it, or it does not fit a corpus.
    """
    size = _settings.whole(settings, "size", 0, 4096, 0)
    width = _settings.whole(settings, "actions", 1, 10_000, 1)
    observed, left = {}, []
    for key, feature in info.features.items():
        spec = _observation(key, feature, [s.name for s, _ in observed.values()], size)
        if spec is not None:
            observed[key] = spec
        elif key not in _READ:
            left.append(key)
    if not observed:
        raise CorpusError("has no observations", str(info.root), "give a set that has some")
    columns = {key: column for key, (_, column) in observed.items()}
    action = ArraySpec(name="action", shape=(width,), role=Role.action)
    feature = info.features.get(names.ACTION)
    if feature is not None:
        if feature.dtype not in _NUMBERS:
            raise CorpusError(f"has type {feature.dtype}", names.ACTION, "give numbers")
        dtype = _NUMBERS[feature.dtype]
        action = ArraySpec(name="action", shape=feature.shape, dtype=dtype, role=Role.action)
        columns[names.ACTION] = Column("numbers", feature.shape, None, nullable=True)
    for key in (names.REWARD, *_ENDS):
        if key in info.features:
            columns[key] = Column("numbers", (1,), None)
    short = int((info.episodes.length == 1).sum())
    if short == len(info.episodes.length):
        raise CorpusError("has no episode of two frames", str(info.root), "nothing leads anywhere")
    arrays = {key: spec.name for key, (spec, _) in observed.items()}
    provenance = Provenance(source=f"lerobot:{info.root.resolve().name}", origin="import")
    return Incoming(
        observations=tuple(spec for spec, _ in observed.values()),
        action=action,
        trajectories=_foreign_episodes(info, FrameReader(info, columns), arrays, provenance),
        count=len(info.episodes.length) - short,
        files=info.files,
        notes=_notes(info, columns, left, short),
    )


def _observation(
    key: str, feature: FeatureInfo, taken: list[str], size: int
) -> tuple[ArraySpec, Column] | None:
    """The array for a feature and how it is read, or None when it observes nothing."""
    picture = feature.dtype in PICTURES
    if not picture and not (key.startswith("observation.") and feature.dtype in _NUMBERS):
        return None
    name = re.sub(r"[^\w.-]", "_", key)[:90]
    for start in ("observation.images.", "observation."):
        name = name.removeprefix(start)
    name = name.lstrip(".") or "observation"
    while name in taken:
        name += "_"
    if not picture:
        spec = ArraySpec(name=name, shape=feature.shape, dtype=_NUMBERS[feature.dtype])
        return spec, Column("numbers", feature.shape, None)
    shape, where = feature.shape, f"feature {key}"
    if len(shape) != 3:
        raise CorpusError(f"has pictures of shape {shape}", where, HINT)
    # height, width and channels, or channels first: their names tell, or else their sizes
    axes = [str(axis) for axis in feature.names] if isinstance(feature.names, list) else []
    if axes[0].startswith("channel") if axes else shape[2] not in MODES:
        shape = (*shape[1:], shape[0])
    if shape[2] not in MODES:
        raise CorpusError(f"has pictures of {shape[2]} channels", where, "give 1 to 4")
    column = Column(feature.dtype, shape, "uint8", (size, size) if size else None)
    return ArraySpec(name=name, shape=column.kept, dtype="uint8", role=Role.pixels), column


def _foreign_episodes(
    info: Info, reader: FrameReader, arrays: Mapping[str, str], provenance: Provenance
) -> Iterator[Episode]:
    """T frames as T-1 steps: nothing is known of where the last action led."""
    tasks = chain.from_iterable(column.to_pylist() for column in info.episodes.tasks)
    for number, frames in enumerate(reader):
        named = [task for task in next(tasks, None) or () if task]
        found = frames.arrays
        steps = len(next(iter(found.values()))) - 1
        if not steps:
            continue
        observed = frames.there.get(names.ACTION, np.zeros(steps, bool))[:steps]
        reward = found.get(names.REWARD)
        terminated, truncated = _ends(found, steps, f"{info.root}: episode {number}")
        metadata: dict[str, Any] = {"tasks": named} if named else {}
        yield Episode(
            observations={name: found[key] for key, name in arrays.items()},
            rewards=np.zeros(steps, np.float32) if reward is None else reward[:steps, 0],
            provenance=provenance,
            actions=found[names.ACTION][:steps] if observed.any() else None,
            action_observed=observed if observed.any() else None,
            terminated=terminated,
            truncated=truncated,
            metadata=metadata | (NO_REWARDS if reward is None else {}),
        )


def _ends(found: Mapping[str, np.ndarray], steps: int, where: str) -> tuple[bool, bool]:
    """Whether the last step that is kept terminated, or was truncated."""
    none = np.zeros(steps + 1, bool)
    done, terminated, truncated = (found[k][:, 0] != 0 if k in found else none for k in _ENDS)
    if names.TERMINATED not in found:
        terminated = done & ~truncated
    early = np.flatnonzero((done | terminated | truncated)[: steps - 1])
    if len(early):
        what = f"ends at frame {early[0]} of {steps + 1}"
        raise CorpusError(what, where, "split the episode there")
    # the step that ended is the one that is not kept: what is left was cut before the end
    cut = bool(done[steps] or terminated[steps] or truncated[steps])
    last = steps - 1
    return bool(terminated[last]), bool(truncated[last] or (cut and not terminated[last]))


def _notes(info: Info, columns: Mapping[str, Column], left: list[str], short: int) -> list[str]:
    notes = [
        f"recorded at {info.fps:g} frames a second",
        "no observation follows the last action of an episode: that action, its reward and its end "
        "were left out, and an episode that ended there is marked as truncated",
    ]
    if short:
        notes.append(f"{short} episodes of a single frame were left out")
    if names.REWARD not in columns:
        notes.append("no rewards were recorded: they are zero, and metadata says rewards: none")
    if names.ACTION not in columns:
        notes.append("no actions were recorded: they are missing, and their shape is a setting")
    else:
        notes.append("actions that are null or all NaN are taken as not observed")
    if names.DONE in columns and not {names.TRUNCATED, names.TERMINATED} & set(columns):
        notes.append("next.done is read as terminated: nothing tells it from truncated")
    sized = [(key, column) for key, column in columns.items() if column.edges]
    notes += [f"{key} was resized from {c.shape[0]} x {c.shape[1]}" for key, c in sized]
    films = [key for key, column in columns.items() if column.storage == "video"]
    notes += [f"{', '.join(films)}: pictures as the video kept them"] if films else []
    return notes + ([f"left out: {', '.join(left)}"] if left else [])


def open_export(info: Info, sidecar: Sidecar) -> Incoming:
    """Open a set that an export wrote, to give the corpus back as it was.

    Raises:
        CorpusError: the sidecar is not that of this set.
    """
    if len(sidecar.table) != len(info.episodes.length):
        what = f"knows {len(sidecar.table)} trajectories, and there are {len(info.episodes.length)}"
        raise CorpusError(what, str(sidecar.folder), RESTORE)
    action = sidecar.action
    columns = {
        names.ACTION: Column("numbers", (action.size,), action.dtype),
        names.REWARD: Column("numbers", (1,), "float32"),
        names.OBSERVED: Column("numbers", (1,), "bool"),
    }
    if sidecar.overlay is not None:
        inferred = Column("numbers", (action.size,), "float32")
        columns |= dict.fromkeys((names.MEAN, names.STD), inferred)
    for feature in sidecar.features:
        shape = (feature.width,) if feature.storage == "numbers" else feature.arrays[0].shape
        columns[feature.name] = Column(feature.storage, shape, feature.dtype)
    for name, column in columns.items():
        found = info.features.get(name)
        kind = column.dtype if column.storage == "numbers" else column.storage
        if found is None or (found.dtype, found.shape) != (kind, column.shape):
            raise CorpusError(f"does not fit the feature {name!r}", str(sidecar.folder), RESTORE)
    pairs = zip(FrameReader(info, columns), sidecar.endings(), strict=True)
    films = [f.arrays[0].name for f in sidecar.features if f.storage == "video"]
    return Incoming(
        observations=sidecar.observations,
        action=action,
        trajectories=(_exported_episode(sidecar, frames, ending) for frames, ending in pairs),
        count=len(sidecar.table),
        files=(*info.files, sidecar.table.path),
        environment=sidecar.environment,
        licence=sidecar.licence,
        masks=sidecar.masks,
        overlay=sidecar.overlay,
        lineage=sidecar.lineage,
        notes=[f"{', '.join(films)}: not as recorded, but as mp4 kept it"] if films else [],
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
    inferred = row["labels"] == "inferred" and sidecar.overlay is not None
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
    )
