"""AIME, AIME-v2 and AIME-NoB: one npz or hdf5 a trajectory; ``pre_action`` led to its row.

Every sensor is an array of its own; ``image`` is (height, width, 3). ``is_first``, ``is_last`` and
``is_terminal`` mark the ends. Files are numbered: ``0.hdf5``, ``1.hdf5``, … They may stay in the
zip files in which they are published, and are read from there.

The hdf5 files hold every array as float32, images and flags too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LabelState
from lawm_schemas.arrays import PICTURES

from lawm_data.exchange.formats._episode_files import (
    Convention,
    Source,
    TrajectoryFile,
    ended_at_last,
    incoming,
)
from lawm_data.exchange.formats._protocol import About, Incoming
from lawm_data.exchange.formats._settings import DECLARED, UNRECORDED
from lawm_data.exchange.untrusted.archive import Archive
from lawm_data.exchange.untrusted.arrays import (
    CHANNELS,
    SMALLEST_IMAGE,
    flags,
    natural,
    observation_spec,
)
from lawm_data.exchange.untrusted.hdf5 import ForeignFile
from lawm_data.exchange.untrusted.npz import NpzFile
from lawm_data.system.atomic import storage_errors

ABOUT = About(
    title="AIME, one npz or hdf5 a trajectory",
    place="FOLDER or FILE.zip",
    extra=None,
    reads=True,
    writes=False,
    label_states=(LabelState.observed, LabelState.missing),
    partial=False,
    arrays="all",
    alignment="a_t enters o_t",
    final_observation=True,
    ends="both",
    pixels="lossless",
    metadata=False,
    streaming=True,
    settings={
        "fields": "observations to take, in this order; all if not given, e.g. "
        "orientations,height,velocity",
        **DECLARED,
        **UNRECORDED,
    },
)
MEMBER_LIMIT = 1 << 28
"""Bytes of one trajectory inside a zip; it is read into memory."""
_NUMBERED = re.compile(r"(?:.*/)?(\d+)\.(npz|hdf5)")
_OTHER_REWARD = re.compile(r"success|label|.*_reward")
"""Arrays that are neither observed nor the task's reward."""


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a folder of trajectories, or of zip files of them; see ``FormatModule.read``."""
    path = Path(place)
    with storage_errors(path):
        if not path.exists():
            raise ConfigError("is not there", str(path), "give a folder or a zip file")
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
    with ExitStack() as archives:
        sources: dict[int, Source] = {}
        for number, source in _numbered(inside, archives):
            if number in sources:
                what = f"two trajectories have number {number}"
                raise CorpusError(what, str(source.path), "give one of them")
            sources[number] = source
        if not sources:
            hint = "give the folder or zip file with 0.hdf5 or 0.npz in it"
            raise CorpusError("holds no numbered npz or hdf5 file", str(path), hint)
        ordered = [sources[number] for number in sorted(sources)]
        found = incoming(ordered, _Convention(), path, settings)
        return replace(found, close=archives.pop_all().close)


def _numbered(paths: list[Path], archives: ExitStack) -> Iterator[tuple[int, Source]]:
    """The trajectories among files and inside zip files, with their numbers."""
    for path in paths:
        named = _NUMBERED.fullmatch(path.name)
        if path.suffix == ".zip" and path.is_file():
            archive = archives.enter_context(closing(Archive(path)))
            for name in sorted(archive.members, key=natural):
                if inner := _NUMBERED.fullmatch(name):
                    yield int(inner[1]), Source(name, path, partial(_open_member, archive, name))
        elif named and path.is_file():
            opened = NpzFile if named[2] == "npz" else ForeignFile
            yield int(named[1]), Source(path.name, path, partial(opened, path))


def _open_member(archive: Archive, name: str) -> TrajectoryFile:
    kind = NpzFile if name.endswith(".npz") else ForeignFile
    return kind(archive.path / name, archive.content(name, MEMBER_LIMIT))


class _Convention(Convention):
    """See ``_episode_files.Convention``."""

    format = "aime"
    action = "pre_action"
    flags = ("is_first", "is_last", "is_terminal")

    def spec(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype, where: str
    ) -> ArraySpec | None:
        if _OTHER_REWARD.fullmatch(name):
            return None
        image = len(shape) == 3 and shape[-1] in CHANNELS and min(shape[:2]) >= SMALLEST_IMAGE
        floats = image and dtype.name not in PICTURES
        return observation_spec(name, shape, np.dtype(np.uint8) if floats else dtype, where)

    def ends(self, arrays: Mapping[str, np.ndarray], where: Mapping[str, str]) -> tuple[bool, bool]:
        if "is_first" in arrays:
            first = flags(arrays["is_first"], where["is_first"])
            if not first[0] or first[1:].any():
                hint = "a file holds one trajectory, from its reset to its end"
                raise CorpusError("is not true in row 0 alone", where["is_first"], hint)
        last, terminal = (
            key in arrays and ended_at_last(arrays[key], where[key])
            for key in ("is_last", "is_terminal")
        )
        return terminal, last and not terminal
