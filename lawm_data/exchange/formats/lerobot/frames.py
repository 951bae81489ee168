"""The frames of a LeRobot set, episode by episode, from files that are read forwards once."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import CorpusError

from lawm_data.exchange.formats.lerobot import language
from lawm_data.exchange.formats.lerobot.info import Info
from lawm_data.exchange.formats.lerobot.parquet import HINT, ParquetReader, from_column
from lawm_data.system.images import decode, resize
from lawm_data.system.video import rounding, timed_frames

EPISODE_LIMIT = 1 << 30
"""Bytes of one episode, decoded; a trajectory is held in memory as a whole."""


TIMESTAMP = "timestamp"
TOLERANCE = 1e-4
"""Seconds that a timestamp may lie from its picture, as in LeRobot (``tolerance_s``)."""


Timed = tuple[float, np.ndarray]
"""The second at which a picture of a film is shown, and the picture."""


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
    become: str | None = None
    """Type that numbers become, or None to keep theirs."""
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
        notes: what was converted is added, when it is.
    """

    def __init__(
        self,
        info: Info,
        columns: Mapping[str, FrameColumn],
        tolerance: float = TOLERANCE,
        sentences: Sequence[str] = (),
        notes: list[str] | None = None,
    ) -> None:
        self._sentences = sentences
        self._info, self._tolerance = info, tolerance
        self._notes: list[str] = [] if notes is None else notes
        self._rounded: set[str] = set()
        self._columns = dict(columns)
        self._tabled = {n: c for n, c in columns.items() if c.storage != "video"}
        films = {n: c for n, c in columns.items() if c.storage == "video"}
        self._films = {n: FilmReader(grey=c.shape[2] == 1) for n, c in films.items()}
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
        times = np.arange(length) / self._info.fps
        there = {n: np.ones(length, bool) for n, c in self._columns.items() if c.nullable}
        for begin, batch in rows.take(episode, length):
            if self._timed:
                where = f"{rows.path}: episode {episode}: {TIMESTAMP}"
                times[begin : begin + len(batch)] = _times(batch, where)
            for name, column in self._tabled.items():
                where = f"{rows.path}: episode {episode}: {name}"
                part, given = _decoded(batch.column(name), column, where)
                if column.become is not None:
                    part = self._converted(part, column.become, name, where)
                if name not in arrays:
                    arrays[name] = np.zeros((length, *column.kept), part.dtype)
                arrays[name][begin : begin + len(part)] = part
                if column.nullable:
                    there[name][begin : begin + len(part)] = given
                elif not given.all():
                    raise CorpusError("is missing in some frames", where, HINT)
            counted = ((begin + np.arange(len(batch))) / self._info.fps).tolist()
            for name in self._sentences:
                if name != language.PERSISTENT or not begin:
                    where = f"{rows.path}: episode {episode}: {name}"
                    sentences += language.sentences(name, batch.column(name), counted, where)
        for name, film in self._films.items():
            column = self._columns[name]
            places, start = self._info.episodes.films[name]
            path = self._info.video_file(name, places[episode])
            if not path.is_file():
                raise CorpusError("there is no such file", str(path), HINT)
            arrays[name] = np.empty((length, *column.kept), column.dtype)
            # times are stored in 32 bits, and those of films were rounded as well
            rounded = 2 * np.spacing(np.abs(times).astype("f4")) + rounding(path)
            near = self._tolerance + rounded
            wanted, shown = start[episode] + times, np.empty(length)
            for i, (seconds, frame) in enumerate(film.read(path, wanted)):
                arrays[name][i] = _fitted(_dequantized(frame, column), column, str(path))
                shown[i] = seconds
            odd = np.flatnonzero(np.abs(shown - wanted) > near)
            if len(odd):
                raise self._far(shown, wanted, int(odd[0]), film, f"{path}: episode {episode}")
        return Frames(arrays, there, sentences)

    def _converted(self, part: np.ndarray, dtype: str, name: str, where: str) -> np.ndarray:
        """Numbers as the type that info.json says, as LeRobot reads them.

        Raises:
            CorpusError: one is changed by more than rounding a fraction.
        """
        if part.dtype == np.dtype(dtype):
            return part
        with np.errstate(invalid="ignore", over="ignore"):
            become = part.astype(dtype)
            # both ways: either comparison may round, and a number too large may wrap around
            same = (become == part) & (become.astype(part.dtype) == part)
        if part.dtype.kind == become.dtype.kind == "f":
            same |= ~np.isfinite(part)
            if name not in self._rounded and not same.all():
                self._rounded.add(name)
                self._notes.append(f"{name}: {part.dtype} in the files, rounded to {dtype}")
            same |= np.isfinite(become)
        if not same.all():
            odd = part[~same].ravel()[0]
            what = f"holds {odd}, and info.json says {dtype}, which cannot"
            raise CorpusError(what, where, "correct its type in info.json, or the numbers")
        return become

    def _far(
        self, shown: np.ndarray, wanted: np.ndarray, at: int, film: FilmReader, where: str
    ) -> CorpusError:
        """The error of an episode whose frame ``at`` has no picture of its time.

        Args:
            shown: (n,) seconds at which the pictures nearest to its frames are shown.
            wanted: (n,) seconds at which the frames are.
            at: the first frame that is too far from its picture.
            film: where they are from.
            where: for messages.
        """
        off = np.abs(shown - wanted)
        if film.ended and shown[at] == shown[-1] < wanted[at]:
            what = f"ends at {shown[at]:.6g} s, and frame {at} is at {wanted[at]:.6g} s"
            hint = "fetch the file again if it is cut, or leave this camera out with --without"
            return CorpusError(what, where, hint)
        what = f"frame {at}, at {wanted[at]:.6g} s, is {off[at]:.3g} s from the nearest picture"
        hint = f"allow it with --set tolerance={2 * off.max():.2g}"
        if off.max() > 0.5 / self._info.fps:  # pictures would stand in for others
            hint = "correct the column timestamp, or leave this camera out with --without"
        return CorpusError(what, where, hint)


def _times(batch: Any, where: str) -> np.ndarray:
    """(n,) seconds of frames since the start of their episode."""
    rows, there = from_column(batch.column(TIMESTAMP), 1, where)
    times = rows[:, 0].astype(np.float64)
    if not (there.all() and (np.abs(times) < 1 << 40).all()):
        raise CorpusError("is not all numbers", where, HINT)
    return times


def first_picture(info: Info, key: str, column: FrameColumn) -> np.ndarray:
    """The first picture of a camera of one channel, (height, width, 1), as it is stored.

    Raises:
        CorpusError: there is none.
    """
    if column.storage == "video":
        path = info.video_file(key, info.episodes.films[key][0][0])
        if not path.is_file():
            raise CorpusError("there is no such file", str(path), HINT)
        with closing(timed_frames(path, grey=True)) as film:
            found = next(film, None)
        if found is None:
            raise CorpusError("holds no frames", str(path), HINT)
        return found[1]
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

    Args:
        grey: the film has one channel; its numbers are taken as they are stored.
    """

    def __init__(self, grey: bool = False) -> None:
        self._grey = grey
        self._path: Path | None = None
        self._film: Generator[Timed, None, None] | None = None
        self._shown: Timed | None = None
        self._next: Timed | None = None
        self.ended = False
        """Whether nothing follows the picture that is shown."""

    def read(self, path: Path, times: np.ndarray) -> Iterator[Timed]:
        """For each time the picture that is shown nearest to it, and when that is.

        Args:
            path: file they are in.
            times: (n,) seconds of that file, in their order.

        Raises:
            CorpusError: the file is damaged, or ends long before, or the times go back.
        """
        if (np.diff(times) < 0).any():
            what = "is read backwards by the timestamps of an episode"
            raise CorpusError(what, str(path), "correct the column timestamp")
        if path != self._path or (self._shown and times[0] < self._shown[0] - TOLERANCE):
            self._open(path)
        for time in times.tolist():
            yield self._nearest(time)

    def close(self) -> None:
        """Stop decoding."""
        if self._film is not None:
            self._film.close()

    def _open(self, path: Path) -> None:
        self.close()
        self._path, self._film = path, timed_frames(path, self._grey)
        self._shown = self._next = None
        self.ended = False

    def _nearest(self, time: float) -> Timed:
        # a picture that is shown no earlier is nearer than all that follow: these can wait
        while self._shown is None or self._shown[0] < time - TOLERANCE:
            if self._next is None and self._film is not None:
                self._next = next(self._film, None)
            if self._next is None:
                self.ended = True
                break
            if self._shown and abs(self._next[0] - time) >= abs(self._shown[0] - time):
                break
            self._shown, self._next = self._next, None
        if self._shown is None:
            raise CorpusError("holds no frames", str(self._path), HINT)
        return self._shown
