"""The frames of a LeRobot set, episode by episode, from files that are read forwards once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import CorpusError

from lawm_data.exchange.formats.lerobot.info import Info
from lawm_data.exchange.formats.lerobot.parquet import HINT, Table, from_column
from lawm_data.exchange.formats.lerobot.videos import FilmReader
from lawm_data.system.images import decode, resize

EPISODE_LIMIT = 1 << 30
"""Bytes of one episode, decoded; a trajectory is held in memory as a whole."""


class Column(NamedTuple):
    """What is read of a feature."""

    storage: str
    """``numbers``, ``image`` or ``video``."""
    shape: tuple[int, ...]
    """Shape of a frame; of pictures (height, width, channels), in the file."""
    dtype: str | None
    """Type that the file has to have, or None for any."""
    edges: tuple[int, int] | None = None
    """Height and width that pictures are brought to."""
    nullable: bool = False
    """Whether frames may be without it; they hold zeros, and NaN counts as nothing."""

    @property
    def size(self) -> int:
        """Numbers of a frame in memory."""
        return int(np.prod(self.kept))

    @property
    def kept(self) -> tuple[int, ...]:
        """Shape of a frame in memory."""
        return self.shape if self.edges is None else (*self.edges, self.shape[2])

    @property
    def row_bytes(self) -> int:
        """Bytes of a frame in memory."""
        return self.size * np.dtype(self.dtype or "f8").itemsize


class Frames(NamedTuple):
    """All frames of one episode."""

    arrays: dict[str, np.ndarray]
    """(n, *shape) by feature."""
    there: dict[str, np.ndarray]
    """(n,) bool by nullable feature."""


class FrameReader:
    """The frames of a set.

    Args:
        info: the set.
        columns: what is read, by feature.
    """

    def __init__(self, info: Info, columns: Mapping[str, Column]) -> None:
        self._info = info
        self._columns = dict(columns)
        self._tabled = {n: c for n, c in columns.items() if c.storage != "video"}
        self._films = {n: FilmReader(info.fps) for n, c in columns.items() if c.storage == "video"}
        row_bytes = sum(column.row_bytes for column in columns.values())
        longest = int(info.episodes.length.max())
        if longest * row_bytes > EPISODE_LIMIT:
            what = f"has an episode of {longest} frames, {longest * row_bytes >> 20} MB"
            hint = "import it with smaller pictures (--set size=64), or split the episodes"
            raise CorpusError(what, str(info.root), hint)
        self._row_bytes = row_bytes

    def __iter__(self) -> Iterator[Frames]:
        rows = _Rows(self._info, [*self._tabled, "episode_index", "frame_index"], self._row_bytes)
        try:
            for episode, length in enumerate(self._info.episodes.length.tolist()):
                yield self._episode(rows, episode, length)
            rows.finish()
        finally:
            rows.close()
            for film in self._films.values():
                film.close()

    def _episode(self, rows: _Rows, episode: int, length: int) -> Frames:
        arrays: dict[str, np.ndarray] = {}
        there = {n: np.ones(length, bool) for n, c in self._columns.items() if c.nullable}
        for begin, batch in rows.take(episode, length):
            for name, column in self._tabled.items():
                where = f"{rows.path}: episode {episode}: {name}"
                part, given = _decoded(batch.column(name), column, where)
                if name not in arrays:
                    arrays[name] = np.zeros((length, *column.kept), part.dtype)
                arrays[name][begin : begin + len(part)] = part
                if column.nullable:
                    there[name][begin : begin + len(part)] = given
                elif not given.all():
                    raise CorpusError("is missing in some frames", where, HINT)
        for name in self._films:
            arrays[name] = self._filmed(name, episode, length)
        return Frames(arrays, there)

    def _filmed(self, name: str, episode: int, length: int) -> np.ndarray:
        column = self._columns[name]
        places, start = self._info.episodes.films[name]
        path = self._info.video_file(name, places[episode])
        if not path.is_file():
            raise CorpusError("there is no such file", str(path), HINT)
        pictures = np.empty((length, *column.kept), np.uint8)
        for i, frame in enumerate(self._films[name].read(path, float(start[episode]), length)):
            pictures[i] = _fitted(frame, column, str(path))
        return pictures


class _Rows:
    """A cursor over the rows of all files of frames."""

    def __init__(self, info: Info, columns: list[str], row_bytes: int) -> None:
        self._info, self._names, self._row_bytes = info, columns, row_bytes
        self._table: Table | None = None
        self._batches: Iterator[Any] = iter(())
        self._batch: Any = None
        self._place: tuple[int, int] | None = None

    @property
    def path(self) -> str:
        """The file that is being read."""
        return str(self._table.path) if self._table else str(self._info.root)

    def take(self, episode: int, length: int) -> Iterator[tuple[int, Any]]:
        """The rows of the next episode, as batches and where in it they begin."""
        chunk, file = self._info.episodes.place[episode].tolist()
        if (chunk, file) != self._place:
            self._turn((chunk, file))
        done = 0
        while done < length:
            if self._batch is None or not len(self._batch):
                self._batch = next(self._batches, None)
                if self._batch is None:
                    what = f"ends within episode {episode}, after {done} of {length} frames"
                    raise CorpusError(what, self.path, HINT)
            part = self._batch.slice(0, length - done)
            self._batch = self._batch.slice(len(part))
            self._check(part, episode, done)
            yield done, part
            done += len(part)

    def finish(self) -> None:
        """Refuse rows that belong to no episode."""
        left = self._batch is not None and len(self._batch)
        if left or next(self._batches, None) is not None:
            what = "has frames that meta/episodes does not know of"
            raise CorpusError(what, self.path, HINT)

    def close(self) -> None:
        """Close the file."""
        if self._table is not None:
            self._table.close()

    def _turn(self, place: tuple[int, int]) -> None:
        self.finish()
        self.close()
        self._table = Table(self._info.data_file(place), self._names)
        self._batches, self._batch, self._place = self._table.batches(self._row_bytes), None, place

    def _check(self, part: Any, episode: int, done: int) -> None:
        for name, expected in (
            ("episode_index", np.full(len(part), episode)),
            ("frame_index", done + np.arange(len(part))),
        ):
            found, _ = from_column(part.column(name), 1, f"{self.path}: {name}")
            odd = np.flatnonzero(found[:, 0] != expected)
            if len(odd):
                at = int(odd[0])
                what = f"has {name} {found[at, 0]} where {expected[at]} belongs"
                raise CorpusError(f"{what} (episode {episode})", self.path, HINT)


def _decoded(column: Any, told: Column, where: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, *kept) and (n,) which of them are there."""
    if told.storage == "image":
        found = [_picture(value, told, where) for value in column.to_pylist()]
        return np.stack(found), np.ones(len(found), bool)
    rows, there = from_column(column, int(np.prod(told.shape)), where)
    if told.dtype is not None and rows.dtype != np.dtype(told.dtype):
        raise CorpusError(f"has type {rows.dtype}, not {told.dtype}", where, HINT)
    if told.nullable and rows.dtype.kind == "f":
        nothing = np.asarray(np.isnan(rows).all(1))
        there, rows = there & ~nothing, np.where(nothing[:, None], 0, rows)
    return rows.reshape(len(rows), *told.shape), there


def _picture(value: Any, told: Column, where: str) -> np.ndarray:
    data = value.get("bytes") if isinstance(value, dict) else None
    if not isinstance(data, bytes):
        what = "has pictures that are not in the file"
        raise CorpusError(what, where, "embed them, as LeRobot does when it saves")
    return _fitted(decode(data, told.shape[2], where), told, where)


def _fitted(picture: np.ndarray, told: Column, where: str) -> np.ndarray:
    if picture.shape != told.shape:
        what = f"has a picture of {picture.shape}, and info.json says {told.shape}"
        raise CorpusError(what, where, HINT)
    return picture if told.edges is None else resize(picture, *told.edges)
