"""The frames of a LeRobot set, episode by episode, from files that are read forwards once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import CorpusError

from lawm_data.exchange.formats.lerobot import language
from lawm_data.exchange.formats.lerobot.info import Info
from lawm_data.exchange.formats.lerobot.parquet import HINT, ParquetReader, from_column
from lawm_data.system.images import decode, resize
from lawm_data.system.video import frames as decoded_frames
from lawm_data.system.video import grey_frames

EPISODE_LIMIT = 1 << 30
"""Bytes of one episode, decoded; a trajectory is held in memory as a whole."""


TIMESTAMP = "timestamp"
TOLERANCE = 1e-4
"""Seconds that a timestamp may lie from its picture, as in LeRobot (``tolerance_s``)."""


class FrameColumn(NamedTuple):
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
    codes: np.ndarray | None = None
    """(4096,) what the numbers of a depth film stand for; None when for themselves."""
    metres: bool = False
    """Whether pictures of floats are depths in metres, which become millimetres."""

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
    sentences: list[dict[str, Any]]
    """What the language columns say of them."""


class FrameReader:
    """The frames of a set.

    Args:
        info: the set.
        columns: what is read, by feature.
        tolerance: seconds that a frame may lie from the time of its picture.
        sentences: language columns that are read.
    """

    def __init__(
        self,
        info: Info,
        columns: Mapping[str, FrameColumn],
        tolerance: float = TOLERANCE,
        sentences: Sequence[str] = (),
    ) -> None:
        self._sentences = sentences
        self._info, self._tolerance = info, tolerance
        self._columns = dict(columns)
        self._tabled = {n: c for n, c in columns.items() if c.storage != "video"}
        films = {n: c for n, c in columns.items() if c.storage == "video"}
        self._films = {n: FilmReader(info.fps, c.shape[2] == 1) for n, c in films.items()}
        self._timed = bool(films) and TIMESTAMP in info.features
        row_bytes = sum(column.row_bytes for column in columns.values())
        longest = int(info.episodes.length.max())
        if longest * row_bytes > EPISODE_LIMIT:
            what = f"has an episode of {longest} frames, {longest * row_bytes >> 20} MB"
            hint = "import it with smaller pictures (--set size=64), or split the episodes"
            raise CorpusError(what, str(info.root), hint)
        self._row_bytes = row_bytes

    def __iter__(self) -> Iterator[Frames]:
        read = [*self._tabled, *self._sentences, "episode_index", "frame_index"]
        read += [TIMESTAMP] if self._timed and TIMESTAMP not in read else []
        rows = _Rows(self._info, read, self._row_bytes)
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
        sentences: list[dict[str, Any]] = []
        at = np.arange(length)
        there = {n: np.ones(length, bool) for n, c in self._columns.items() if c.nullable}
        for begin, batch in rows.take(episode, length):
            if self._timed:
                where = f"{rows.path}: episode {episode}: {TIMESTAMP}"
                at[begin : begin + len(batch)] = self._frame_numbers(batch, where)
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
            times = ((begin + np.arange(len(batch))) / self._info.fps).tolist()
            for name in self._sentences:
                if name != language.PERSISTENT or not begin:
                    where = f"{rows.path}: episode {episode}: {name}"
                    sentences += language.sentences(name, batch.column(name), times, where)
        for name, film in self._films.items():
            column = self._columns[name]
            places, start = self._info.episodes.films[name]
            path = self._info.video_file(name, places[episode])
            if not path.is_file():
                raise CorpusError("there is no such file", str(path), HINT)
            arrays[name] = np.empty((length, *column.kept), column.dtype)
            for i, frame in enumerate(film.read(path, float(start[episode]), at)):
                arrays[name][i] = _fitted(_dequantized(frame, column), column, str(path))
        return Frames(arrays, there, sentences)

    def _frame_numbers(self, batch: Any, where: str) -> np.ndarray:
        """(n,) places of the pictures, counted from the start of the episode in its film."""
        rows, there = from_column(batch.column(TIMESTAMP), 1, where)
        times = rows[:, 0].astype(np.float64)
        if not (there.all() and (np.abs(times) < 1 << 40).all()):
            raise CorpusError("is not all numbers", where, HINT)
        at = np.rint(times * self._info.fps)
        near = self._tolerance + 2 * np.spacing(np.abs(rows[:, 0].astype(np.float32)))
        off = np.abs(times - at / self._info.fps)
        odd = np.flatnonzero(off > near)
        if len(odd):
            what = f"{times[odd[0]]:.6g} s is {off[odd[0]]:.3g} s from a frame"
            hint = f"allow it with --set tolerance={2 * off.max():.2g}"
            raise CorpusError(f"{what}, at {self._info.fps:g} a second", where, hint)
        return at.astype(np.int64)


def first_picture(info: Info, key: str, column: FrameColumn) -> np.ndarray:
    """The first picture of a camera of one channel, (height, width, 1), as it is stored.

    Raises:
        CorpusError: there is none.
    """
    if column.storage == "video":
        path = info.video_file(key, info.episodes.films[key][0][0])
        if not path.is_file():
            raise CorpusError("there is no such file", str(path), HINT)
        film = FilmReader(info.fps, grey=True)
        try:
            return next(film.read(path, 0.0, np.zeros(1, int)))
        finally:
            film.close()
    path = info.data_file(info.episodes.place[0])
    table = ParquetReader(path, [key])
    try:
        batch = next(table.batches(column.row_bytes), None)
    finally:
        table.close()
    if batch is None:
        raise CorpusError("holds no frames", str(path), HINT)
    where = f"{path}: {key}"
    return decode(_encoded(batch.column(key)[0].as_py(), where), 1, where, column.metres)


class _Rows:
    """A cursor over the rows of all files of frames."""

    def __init__(self, info: Info, columns: list[str], row_bytes: int) -> None:
        self._info, self._names, self._row_bytes = info, columns, row_bytes
        self._table: ParquetReader | None = None
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
            self.finish()
            self.close()
            self._table = ParquetReader(self._info.data_file((chunk, file)), self._names)
            self._batches, self._batch = self._table.batches(self._row_bytes), None
            self._place = chunk, file
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


def _decoded(values: Any, column: FrameColumn, where: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, *kept) and (n,) which of them are there."""
    if column.storage == "image":
        pictures = []
        for value in values.to_pylist():
            try:
                picture = decode(_encoded(value, where), column.shape[2], where, column.metres)
            except CorpusError as error:
                hint = "leave the camera out with --without"
                raise CorpusError(error.what, error.where, hint) from None
            pictures.append(_fitted(picture, column, where))
        return np.stack(pictures), np.ones(len(pictures), bool)
    rows, there = from_column(values, int(np.prod(column.shape)), where)
    if column.dtype is not None and rows.dtype != np.dtype(column.dtype):
        raise CorpusError(f"has type {rows.dtype}, not {column.dtype}", where, HINT)
    if column.nullable and rows.dtype.kind == "f":
        nothing = np.asarray(np.isnan(rows).all(1))
        there, rows = there & ~nothing, np.where(nothing[:, None], 0, rows)
    return rows.reshape(len(rows), *column.shape), there


def _encoded(value: Any, where: str) -> bytes:
    data = value.get("bytes") if isinstance(value, dict) else None
    if not isinstance(data, bytes):
        what = "has pictures that are not in the file"
        raise CorpusError(what, where, "embed them, as LeRobot does when it saves")
    return data


def _dequantized(frame: np.ndarray, column: FrameColumn) -> np.ndarray:
    return frame if column.codes is None else column.codes[np.minimum(frame, len(column.codes) - 1)]


def _fitted(picture: np.ndarray, column: FrameColumn, where: str) -> np.ndarray:
    if picture.shape != column.shape:
        what = f"has a picture of {picture.shape}, and info.json says {column.shape}"
        raise CorpusError(what, where, "correct info.json, or leave it out with --without")
    if picture.dtype != np.dtype(column.dtype or picture.dtype):
        what = f"has a picture of type {picture.dtype}, and the first one is {column.dtype}"
        raise CorpusError(what, where, "store all in one type, or leave it out with --without")
    return picture if column.edges is None else resize(picture, *column.edges)


class FilmReader:
    """One camera of a set, read forwards: each file is decoded once, frame by frame.

    Frames are found by their time, so a film of another rate than the set's is not misread.

    Args:
        fps: frames per second of the set.
        grey: the film has one channel; its numbers are taken as they are stored.
    """

    def __init__(self, fps: float, grey: bool = False) -> None:
        self._fps, self._decode = fps, grey_frames if grey else decoded_frames
        self._path: Path | None = None
        self._frames: Iterator[np.ndarray] = iter(())
        self._next = 0
        self._last: np.ndarray | None = None

    def read(self, path: Path, start: float, at: np.ndarray) -> Iterator[np.ndarray]:
        """The frames of an episode.

        Args:
            path: file they are in.
            start: seconds from the beginning of the file.
            at: (n,) places of the frames, counted from there, in their order.

        Raises:
            CorpusError: the file is damaged, or ends before, or the frames go back in it.
        """
        wanted = round(start * self._fps) + at
        if wanted.min() < 0 or (np.diff(wanted) < 0).any():
            what = "is read backwards, or before its start, by the timestamps of an episode"
            raise CorpusError(what, str(path), "correct the column timestamp")
        if path != self._path or wanted[0] < self._next:
            self.close()
            self._path, self._frames, self._next = path, self._decode(path, self._fps), 0
        for place in wanted.tolist():
            while self._next <= place or self._last is None:
                self._last = self._advance(int(wanted[-1]) + 1)
            yield self._last

    def close(self) -> None:
        """Stop decoding."""
        close = getattr(self._frames, "close", None)
        if close is not None:
            close()

    def _advance(self, needed: int) -> np.ndarray:
        frame = next(self._frames, None)
        if frame is None:
            what = f"ends after {self._next} frames, and {needed} are needed"
            hint = "fetch the file again if it is cut, or leave this camera out with --without"
            raise CorpusError(what, str(self._path), hint)
        self._next += 1
        return frame
