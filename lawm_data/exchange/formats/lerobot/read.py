"""LeRobot sets on their way in: those written by us, to the bit, and all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import CorpusError

from lawm_data.exchange.formats._protocol import Carried, Incoming
from lawm_data.exchange.formats.lerobot import features as names
from lawm_data.exchange.formats.lerobot._lerobot_foreign import open_foreign
from lawm_data.exchange.formats.lerobot.frames import Column, FrameReader, Frames
from lawm_data.exchange.formats.lerobot.info import Info, read_info
from lawm_data.exchange.formats.lerobot.sidecar import MEND, Ending, Sidecar, read_sidecar


def open_set(root: Path, settings: Mapping[str, Any]) -> Incoming:
    """Open a set.

    Raises:
        ConfigError: a setting makes no sense, or a package is missing.
        CorpusError: not a set, a damaged one, or one of another version.
    """
    info = read_info(root)
    sidecar = read_sidecar(root)
    return open_foreign(info, settings) if sidecar is None else _open_own(info, sidecar)


def _open_own(info: Info, sidecar: Sidecar) -> Incoming:
    if len(sidecar.table) != len(info.episodes.length):
        what = f"knows {len(sidecar.table)} trajectories, and there are {len(info.episodes.length)}"
        raise CorpusError(what, str(sidecar.folder), MEND)
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
        told = info.features.get(name)
        kind = column.dtype if column.storage == "numbers" else column.storage
        if told is None or (told.dtype, told.shape) != (kind, column.shape):
            raise CorpusError(f"does not fit the feature {name!r}", str(sidecar.folder), MEND)
    reader = FrameReader(info, columns)
    films = [f.arrays[0].name for f in sidecar.features if f.storage == "video"]
    return Incoming(
        observations=sidecar.observations,
        action=action,
        trajectories=_own(sidecar, reader),
        count=len(sidecar.table),
        files=(*info.files, sidecar.table.path),
        environment=sidecar.environment,
        licence=sidecar.licence,
        masks=sidecar.masks,
        overlay=sidecar.overlay,
        lineage=sidecar.lineage,
        said=[f"{', '.join(films)}: not as recorded, but as mp4 kept it"] if films else [],
    )


def _own(sidecar: Sidecar, reader: FrameReader) -> Iterator[Carried]:
    for frames, ending in zip(reader, sidecar.endings(), strict=True):
        yield _restored(sidecar, frames, ending)


def _restored(sidecar: Sidecar, frames: Frames, ending: Ending) -> Carried:
    """The trajectory as it was exported."""
    told, observed = ending.told, frames.arrays[names.OBSERVED][:, 0]
    if told["length"] != len(observed):
        what = f"says {told['length']} steps, and there are {len(observed)} frames"
        raise CorpusError(what, f"{sidecar.folder}: {told['id']}", MEND)
    found: dict[str, np.ndarray] = {}
    for feature in sidecar.features:
        array = frames.arrays[feature.name]
        pictures = feature.storage != "numbers"
        parts = {feature.arrays[0].name: array} if pictures else names.parted(feature, array)
        found |= parts
    inferred = told["labels"] == "inferred" and sidecar.overlay is not None
    shape = (len(observed), *sidecar.action.shape)
    return Carried(
        observations={
            spec.name: np.concatenate([found[spec.name], ending.observations[spec.name]])
            for spec in sidecar.observations
        },
        rewards=frames.arrays[names.REWARD][:, 0],
        provenance=sidecar.provenance[told["provenance"]],
        actions=frames.arrays[names.ACTION].reshape(shape) if observed.any() else None,
        action_observed=observed if observed.any() else None,
        terminated=told["terminated"],
        truncated=told["truncated"],
        agent_step=told["agent_step"],
        seed=told["seed"],
        metadata=told["metadata"],
        trajectory_id=told["id"],
        inferred=(frames.arrays[names.MEAN], frames.arrays[names.STD]) if inferred else None,
    )
