"""Diffusion Policy and UMI: a zarr replay buffer, a folder or a zip.

All trajectories lie one after the other in the arrays of ``data``, and ``meta/episode_ends`` has
the end of each. Row t holds ``o_t`` and ``action``, which leaves it; what the last action led to is
not stored. UMI stores no actions: its learners make them out of the poses. Versions 2 and 3 of zarr
are read.

zarr reads a chunk that is not there as one of fill values, so that a file which lost some shows
black pictures: here every chunk must be there.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LabelState, Provenance, Role
from lawm_schemas.errors import reason_of

from lawm_data.corpus.table import FINAL_MISSING, NO_REWARDS
from lawm_data.exchange.formats._flat import BLOCK, blocks
from lawm_data.exchange.formats._protocol import (
    BOUNDS_NOTE,
    FINAL_NOTE,
    REWARDS_NOTE,
    About,
    Episode,
    Incoming,
    repeat_last,
)
from lawm_data.exchange.formats._settings import (
    DECLARED,
    UNRECORDED,
    UNRECORDED_NOTE,
    choice,
    declared_action,
    declared_environment,
    kept,
    listed,
    require_none,
    unrecorded_action,
)
from lawm_data.exchange.untrusted.archive import Archive
from lawm_data.exchange.untrusted.arrays import (
    column,
    is_image,
    plain_dtype,
    require_finite,
    to_plain,
    turned_spec,
    whole_images,
)
from lawm_data.system.atomic import storage_errors
from lawm_data.system.hdf5 import CHUNK_LIMIT, size_of
from lawm_data.system.optional import optional

ABOUT = About(
    title="Diffusion Policy and UMI, a zarr replay buffer",
    place="FOLDER or FILE.zip",
    extra="zarr",
    reads=True,
    writes=False,
    label_states=(LabelState.observed, LabelState.missing),
    partial=False,
    arrays="all",
    alignment="a_t leaves o_t",
    final_observation=False,
    ends="none",
    pixels="lossless",
    metadata=False,
    streaming=True,
    settings={
        "chunks": "all (every chunk must be there), or fill: those that are not hold fill values",
        "without": "arrays to leave out, with commas between them",
        **UNRECORDED,
        **DECLARED,
    },
)
ENDS = "meta/episode_ends"
DIRECTORY_LIMIT = 1 << 28
"""Bytes of a zip's table of contents: with a chunk for every picture it has a million lines."""
TRAJECTORY_LIMIT = 1 << 32
"""Bytes of one trajectory, which is held in memory as a whole."""
_NOT_OBSERVED = re.compile(
    r"done|terminated|truncated|terminals?|timeouts?|success|timestamps?|(episode|frame|task)_index"
)
"""Arrays that are no observations."""
CODECS = ("blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma", "crc32c", "shuffle", "delta")
"""Codecs of numbers; others, such as pickles, are refused. JPEG XL is one of imagecodecs."""
_STRUCTURE = ("bytes", "transpose")


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a replay buffer; see ``FormatModule.read``."""
    path = Path(place)
    fill = choice(settings, "chunks", ("all", "fill")) == "fill"
    with storage_errors(path):
        if not path.exists():
            raise ConfigError("is not there", str(path), "give a folder or a zip file")
    with ExitStack() as undo:
        if path.is_dir():
            names = _below(path)
        else:
            with closing(Archive(path, directory_limit=DIRECTORY_LIMIT)) as archive:
                names = list(archive.members)
        inside, arrays = _listed(path, names)
        zarr = optional("zarr", "zarr", "the format zarr")
        with _distrust(str(path)):
            store = zarr.storage.LocalStore if path.is_dir() else zarr.storage.ZipStore
            opened = store(path, read_only=True)
            undo.callback(opened.close)
            root = zarr.open_group(opened, path=inside, mode="r")
        buffer = _Buffer(path, root, fill, _stored(names, inside))
        found = _incoming(buffer, arrays, settings)
        return replace(found, close=undo.pop_all().close)


def _below(folder: Path) -> list[str]:
    """The files of a folder, without links, devices and pipes: a chunk is a file of its own."""
    found = []
    with storage_errors(folder):
        for above, folders, files in os.walk(folder):
            for name in (*folders, *files):
                path = Path(above) / name
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    raise CorpusError("is a link, or no file", str(path), "copy the file itself")
            found += [(Path(above) / name).relative_to(folder).as_posix() for name in files]
    return found


def _listed(path: Path, names: Iterable[str]) -> tuple[str, list[str]]:
    """Where the buffer begins among some files, and the names of what is under ``data``."""
    names = list(names)
    ends = (re.fullmatch(rf"(.*/)?{ENDS}/(\.zarray|zarr\.json)", name) for name in names)
    above = {match[1] or "" for match in ends if match}
    if len(above) != 1:
        what = f"holds {len(above) or 'no'} replay buffers ({ENDS})"
        raise CorpusError(what, str(path), "give the folder or zip of one")
    (inside,) = above
    begin = f"{inside}data/"
    arrays = {name[len(begin) :].split("/")[0] for name in names if name.startswith(begin)}
    hidden = (".", "zarr.json")
    return inside.rstrip("/"), sorted(name for name in arrays if not name.startswith(hidden))


def _stored(names: Iterable[str], inside: str) -> Counter[str]:
    """How many chunks there may be of each array, such as ``data/img``."""
    parts = (name.removeprefix(f"{inside}/" if inside else "").split("/") for name in names)
    return Counter("/".join(part[:2]) for part in parts if not part[-1].startswith((".", "zarr.")))


class _Buffer:
    """A replay buffer whose arrays are opened one by one."""

    def __init__(self, path: Path, root: Any, fill: bool, files: Counter[str]) -> None:
        self.path, self._root, self._fill, self._files = path, root, fill, files

    def where(self, name: str) -> str:
        """Array and place, for messages."""
        return f"{self.path}: {name}"

    def is_array(self, name: str) -> bool:
        """Whether it is an array, and no group."""
        with _distrust(self.where(name)):
            return hasattr(self._root[name], "nchunks")

    def rows(self, name: str, fill: bool | None = None) -> _Rows:
        """An array to be read in parts.

        Raises:
            CorpusError: it is no array of numbers, has another codec, or chunks are not there.
        """
        where = self.where(name)
        with _distrust(where):
            array = self._root[name]
            dtype, stored = np.dtype(array.dtype), array.metadata.to_dict()
            odd = sorted(_codecs(stored) - {*CODECS, *_STRUCTURE})
            chunk = int(np.prod(array.chunks, dtype=np.int64)) * dtype.itemsize
        if odd == ["sharding_indexed"]:
            hint = "write it again without shards: what is missing inside one cannot be seen"
            raise CorpusError("is stored in shards", where, hint)
        if odd and not all(name.startswith("imagecodecs") for name in odd):
            hint = "store it as numbers, with a codec such as blosc or zstd"
            raise CorpusError(f"is stored by {', '.join(odd)}", where, hint)
        found = _Rows(array, where, plain_dtype(dtype, where))
        if chunk > CHUNK_LIMIT * 4:
            raise CorpusError(f"has chunks of {chunk} bytes", where, "store it in smaller ones")
        if not (self._fill if fill is None else fill):
            with _distrust(where):
                due = array.nchunks
                # zarr looks for every chunk that is due, however many that are
                files = self._files[name]
                there = array.nchunks_initialized if due <= files else min(files, due - 1)
            if there != due:
                hint = "get them again; if zarr left out what is all zero: --set chunks=fill"
                raise CorpusError(f"lacks {due - there} of its {due} chunks", where, hint)
        return found


def _codecs(metadata: Mapping[str, Any]) -> set[str]:
    """The codecs of an array, by their names in versions 2 and 3; shards count as one."""
    if metadata["zarr_format"] == 2:
        entries = [metadata.get("compressor"), *(metadata.get("filters") or ())]
        return {str(entry["id"]) for entry in entries if entry}
    return {str(entry["name"]).removeprefix("numcodecs.") for entry in metadata["codecs"]}


class _Rows:
    """The rows of an array, see ``_flat.Rows``."""

    def __init__(self, array: Any, where: str, dtype: np.dtype) -> None:
        self._array, self._at = array, 0
        self.where, self.dtype = where, dtype
        self.shape = tuple(int(n) for n in array.shape)

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def part(self, start: int, end: int) -> np.ndarray:
        """Some rows."""
        with _distrust(self.where):
            return to_plain(np.asarray(self._array[start:end]), self.dtype)

    def next(self, count: int) -> np.ndarray:
        """The next rows."""
        start, self._at = self._at, self._at + count
        return self.part(start, self._at)

    def pieces(self) -> Iterator[np.ndarray]:
        """All rows, some at a time; where they are not too large whole chunks, each read once."""
        numbers, chunk = size_of(self.shape[1:]), int(self._array.chunks[0])
        size = max(1, BLOCK // numbers)
        if chunk * numbers * self.dtype.itemsize <= CHUNK_LIMIT * 4:
            size = -(-size // chunk) * chunk
        for start in range(0, len(self), size):
            yield self.part(start, start + size)

    def close(self) -> None:
        """Nothing to do: the store is closed as a whole."""


@contextmanager
def _distrust(where: str) -> Iterator[None]:
    try:
        yield
    except CorpusError:
        raise
    except Exception as error:  # codecs of any package raise what they like
        reason = reason_of(error)
        if "codec" in reason.lower() and "imagecodecs" in reason:
            hint = "pip install imagecodecs-numcodecs, or leave it out: --without NAME"
            raise ConfigError("is JPEG XL, which needs a package", where, hint) from None
        hint = "it is damaged, or no array of numbers; leave it out with --without NAME"
        raise CorpusError(f"cannot be read ({reason})", where, hint) from None


class _Field(NamedTuple):
    """An array of observations."""

    spec: ArraySpec
    rows: _Rows
    turn: bool
    """Channels come first."""

    def read(self, start: int, end: int) -> np.ndarray:
        """Some rows, as the corpus has them."""
        array = require_finite(self.rows.part(start, end), self.rows.where, start)
        array = np.moveaxis(array, 1, -1) if self.turn else array
        if self.spec.role is Role.pixels and array.dtype.kind == "f":
            array = whole_images(array, self.rows.where)
        return array


def _field(name: str, rows: _Rows) -> _Field:
    shape, dtype = rows.shape[1:], rows.dtype
    image = is_image(shape) or is_image((*shape[1:], *shape[:1]))
    if dtype.kind == "f" and image and all(map(_are_bytes, rows.pieces())):
        dtype = np.dtype(np.uint8)  # Push-T stores its pictures as floats
    spec, turn = turned_spec(name, shape, dtype, rows.where)
    return _Field(spec, rows, turn)


def _are_bytes(array: np.ndarray) -> bool:
    """Whether all numbers are 0, 1, … 255."""
    return np.array_equal(array, np.clip(np.rint(array), 0, 255))


def _incoming(buffer: _Buffer, arrays: list[str], settings: Mapping[str, Any]) -> Incoming:
    ends = buffer.rows(ENDS, fill=False)
    if len(ends.shape) != 1 or ends.dtype.kind not in "iu" or not len(ends):
        what = f"is {ends.dtype} of shape {ends.shape}"
        raise CorpusError(what, ends.where, "store the end of each trajectory, as whole numbers")
    stops = ends.part(0, len(ends)).astype(np.int64)
    if (np.diff(stops, prepend=0) <= 0).any():
        raise CorpusError("does not grow", ends.where, "store the end of each trajectory")
    wanted = kept(listed(settings, "without"), arrays) if arrays else []
    action_name = next((name for name in ("action", "actions") if name in wanted), None)
    reward_name = next((name for name in ("reward", "rewards") if name in wanted), None)
    rest = [name for name in wanted if name not in (action_name, reward_name)]
    left = [name for name in rest if _NOT_OBSERVED.fullmatch(name)]
    left += [name for name in rest if name not in left and not buffer.is_array(f"data/{name}")]
    opened = {name: buffer.rows(f"data/{name}") for name in wanted if name not in left}
    for name, rows in opened.items():
        if len(rows) != stops[-1]:
            what = f"has {len(rows)} rows, and {ENDS} ends at {stops[-1]}"
            raise CorpusError(what, buffer.where(f"data/{name}"), "make the lengths agree")
    starts = np.append(0, stops[:-1])
    longest = int((stops - starts).max())
    width = sum(
        int(np.prod(r.shape[1:], dtype=np.int64)) * r.dtype.itemsize for r in opened.values()
    )
    if longest * width > TRAJECTORY_LIMIT:
        what = f"has a trajectory of {longest * width} bytes"
        raise CorpusError(what, str(buffer.path), "cut it into parts")
    fields = [_field(name, opened[name]) for name in rest if name in opened]
    if not fields:
        raise CorpusError("holds no observations", buffer.where("data"), "check the place")
    actions = opened.get(action_name or "")
    if actions is None:
        action = unrecorded_action(settings)
    else:
        require_none(settings, UNRECORDED, "buffers without actions")
        shape, where = actions.shape[1:], actions.where
        action = declared_action(settings, shape, actions.dtype, where, blocks(actions))
    cut = "what the last action of a trajectory led to is not stored: that step was left out"
    notes = [
        cut if reward_name is None else FINAL_NOTE,
        "ends are not stored: all trajectories count as truncated",
    ]
    if actions is None:
        notes.append(UNRECORDED_NOTE)
    elif action.low is not None and "low" not in settings:
        notes.append(BOUNDS_NOTE)
    if reward_name is None:
        notes.append(REWARDS_NOTE)
    notes += [
        f"{field.spec.name} is stored as floats that are whole numbers; it was kept as uint8"
        for field in fields
        if field.rows.dtype != np.dtype(field.spec.dtype)
    ]
    left += listed(settings, "without")
    if left:
        notes.append(f"not kept: {', '.join(left)}")
    least = 2 if reward_name is None else 1
    alone = int((stops - starts < least).sum())
    if alone:
        notes.append(f"{alone} trajectories of a single row were left out")
    spans = [
        (i, a, b) for i, (a, b) in enumerate(zip(starts, stops, strict=True)) if b - a >= least
    ]
    source = Provenance(source=f"zarr:{buffer.path.name}", origin="import")
    rewards = opened.get(reward_name or "")
    return Incoming(
        observations=tuple(field.spec for field in fields),
        action=action,
        trajectories=(
            _episode(fields, actions, rewards, int(a), int(b), source, i) for i, a, b in spans
        ),
        count=len(spans),
        name=buffer.path.name,
        files=(buffer.path,) if buffer.path.is_file() else (),
        environment=declared_environment(settings),
        notes=notes,
    )


def _episode(
    fields: list[_Field],
    actions: _Rows | None,
    rewards: _Rows | None,
    start: int,
    end: int,
    source: Provenance,
    number: int,
) -> Episode:
    metadata: dict[str, Any] = {"episode": number}
    observed = {field.spec.name: field.read(start, end) for field in fields}
    steps, earned = end - 1, np.zeros(end - start - 1, np.float32)
    if rewards is None:
        metadata |= NO_REWARDS
    else:  # the last step was rewarded, so that it is kept
        steps = end
        read = require_finite(rewards.part(start, end), rewards.where, start)
        earned = column(read, rewards.where)
        observed = {name: repeat_last(array) for name, array in observed.items()}
        metadata |= FINAL_MISSING
    taken = None
    if actions is not None:
        taken = require_finite(actions.part(start, steps), actions.where, start)
    return Episode(
        observations=observed,
        rewards=earned,
        provenance=source,
        actions=taken,
        truncated=True,
        metadata=metadata,
    )
