"""The mp4 files of a LeRobot set: one camera, many episodes end to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lawm_schemas import CorpusError

from lawm_data.exchange.formats.lerobot.parquet import VIDEO_MB, VIDEO_PATH, Place
from lawm_data.system.video import Film, frames


class Span(NamedTuple):
    """Where the frames of an episode are."""

    place: Place
    start: float
    """Seconds from the beginning of the file."""
    end: float


class FilmWriter:
    """The camera ``key`` of a set in the making."""

    def __init__(self, root: Path, key: str, fps: float) -> None:
        self._root, self._key, self._fps = root, key, fps
        self._place: Place | None = None
        self._path = root
        self._film: Film | None = None
        self._frames = 0

    def add(self, pictures: np.ndarray) -> Span:
        """Append the frames of an episode, (n, h, w, 3) uint8.

        Raises:
            StorageError: ffmpeg stopped.
        """
        if self._film is None or self._size() >= VIDEO_MB << 20:
            self._begin(*pictures.shape[1:3])
        assert self._film is not None
        assert self._place is not None
        first = self._frames
        for picture in pictures:
            self._film.add(picture)
        self._frames += len(pictures)
        return Span(self._place, first / self._fps, self._frames / self._fps)

    def close(self) -> None:
        """End the last file.

        Raises:
            StorageError: ffmpeg could not.
        """
        if self._film is not None:
            self._film.close()

    def abandon(self) -> None:
        """Stop writing, if that has not ended."""
        if self._film is not None:
            self._film.abandon()

    def _size(self) -> int:
        """Bytes that ffmpeg has written so far; it may not have begun."""
        return self._path.stat().st_size if self._path.exists() else 0

    def _begin(self, height: int, width: int) -> None:
        self.close()
        self._place = Place(0, 0) if self._place is None else self._place.after()
        self._path = self._place.path(self._root, VIDEO_PATH, video_key=self._key)
        # a key frame every second frame, as LeRobot has it: readers jump to single frames
        self._film = Film(self._path, height, width, self._fps, ("-g", "2", "-bf", "0"))
        self._frames = 0


class FilmReader:
    """One camera of a set, read forwards: each file is decoded once, frame by frame.

    Frames are found by their time, so a film of another rate than the set's is not misread.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._path: Path | None = None
        self._frames: Iterator[np.ndarray] = iter(())
        self._next = 0

    def read(self, path: Path, start: float, count: int) -> Iterator[np.ndarray]:
        """The frames of an episode.

        Args:
            path: file they are in.
            start: seconds from the beginning of the file.
            count: how many.

        Raises:
            CorpusError: the file is damaged, or ends before.
        """
        first = round(start * self._fps)
        if path != self._path or first < self._next:
            self.close()
            self._path, self._frames, self._next = path, frames(path, self._fps), 0
        while self._next < first:
            self._advance(first + count)
        for _ in range(count):
            yield self._advance(first + count)

    def close(self) -> None:
        """Stop decoding."""
        close = getattr(self._frames, "close", None)
        if close is not None:
            close()

    def _advance(self, needed: int) -> np.ndarray:
        frame = next(self._frames, None)
        if frame is None:
            what = f"ends after {self._next} frames, and {needed} are needed"
            raise CorpusError(what, str(self._path), "fetch it again")
        self._next += 1
        return frame
