"""AIME, AIME-v2 and AIME-NoB: one npz or hdf5 a trajectory; ``pre_action`` led to its row.

Every sensor is an array of its own; ``image`` is (height, width, 3). ``is_first``, ``is_last`` and
``is_terminal`` mark the ends. Files are numbered: ``0.hdf5``, ``1.hdf5``, … They may stay in the
zip files in which they are published, and are read from there.

The hdf5 files hold every array as float32, images and flags too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LabelState

from lawm_data.exchange.formats._episode_files import (
    Source,
    TrajectoryFile,
    Words,
    ended_at_last,
    incoming,
)
from lawm_data.exchange.formats._protocol import About, Incoming
from lawm_data.exchange.formats._settings import DECLARED
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
        sources = _by_number(_sources(inside, archives))
        if not sources:
            hint = "give the folder or zip file with 0.hdf5 or 0.npz in it"
            raise CorpusError("holds no numbered npz or hdf5 file", str(path), hint)
        words = Words("aime", "pre_action", ("is_first", "is_last", "is_terminal"), _ends, _spec)
        found = incoming(sources, words, path, settings)
        return replace(found, close=archives.pop_all().close)


def _by_number(found: Iterator[tuple[int, Source]]) -> list[Source]:
    sources: dict[int, Source] = {}
    for number, source in found:
        if number in sources:
            what = f"two trajectories have number {number}"
            raise CorpusError(what, str(source.path), "give one of them")
        sources[number] = source
    return [sources[number] for number in sorted(sources)]


def _sources(paths: list[Path], archives: ExitStack) -> Iterator[tuple[int, Source]]:
    for path in paths:
        named = _NUMBERED.fullmatch(path.name)
        if path.suffix == ".zip" and path.is_file():
            archive = Archive(path)
            archives.callback(archive.close)
            yield from _members(archive)
        elif named and path.is_file():
            opened = NpzFile if named[2] == "npz" else ForeignFile
            yield int(named[1]), Source(path.name, path, _opener(opened, path))


def _opener(kind: type[NpzFile] | type[ForeignFile], path: Path) -> Any:
    return lambda: kind(path)


def _members(archive: Archive) -> Iterator[tuple[int, Source]]:
    for name in sorted(archive.members, key=natural):
        named = _NUMBERED.fullmatch(name)
        if named:
            yield int(named[1]), Source(name, archive.path, _inside(archive, name))


def _inside(archive: Archive, name: str) -> Any:
    def opened() -> TrajectoryFile:
        kind = NpzFile if name.endswith(".npz") else ForeignFile
        return kind(archive.path / name, archive.content(name, MEMBER_LIMIT))

    return opened


def _spec(name: str, shape: tuple[int, ...], dtype: np.dtype, where: str) -> ArraySpec | None:
    if _OTHER_REWARD.fullmatch(name):
        return None
    image = len(shape) == 3 and shape[-1] in CHANNELS and min(shape[:2]) >= SMALLEST_IMAGE
    return observation_spec(name, shape, np.dtype(np.uint8) if image else dtype, where)


def _ends(arrays: Mapping[str, np.ndarray], where: Mapping[str, str]) -> tuple[bool, bool]:
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
