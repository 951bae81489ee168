"""Frames to a video file: mp4 through ffmpeg, gif through Pillow."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from fractions import Fraction
from importlib import import_module
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

import numpy as np
from lawm_schemas import ConfigError, CorpusError, StorageError

from lawm_data.system.atomic import storage_errors, sync_folder, temporary_name
from lawm_data.system.images import PIXEL_LIMIT
from lawm_data.system.optional import optional
from lawm_data.system.output import claimed, refuse_inside, sync_file


class Film:
    """An mp4 file in the making: H.264, visually clean, of the colours that any player takes.

    Args:
        path: the file; one that exists is replaced.
        height: of the pictures, even.
        width: likewise.
        fps: frames per second.
        options: more words for ffmpeg.

    Raises:
        ModuleNotFoundError: ``imageio_ffmpeg``, which brings ffmpeg, is missing.
    """

    def __init__(
        self, path: Path, height: int, width: int, fps: float, options: Sequence[str] = ()
    ) -> None:
        rate = Fraction(fps).limit_denominator(1_000_000)
        words = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {rate} -i - -an"
        words += " -c:v libx264 -crf 10 -pix_fmt yuv420p -f mp4"
        program = import_module("imageio_ffmpeg").get_ffmpeg_exe()
        command = [program, "-y", "-v", "error", *words.split(), *options, str(path)]
        self._path = path
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - abandon closes it
        # a session of its own: Ctrl-C is for this process, which then ends that one
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=self._stderr, start_new_session=True
        )

    def add(self, picture: np.ndarray) -> None:
        """Append a picture (height, width, 3) uint8.

        Raises:
            StorageError: ffmpeg stopped.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(picture).data)
        except BrokenPipeError:
            self.close()

    def close(self) -> None:
        """Let ffmpeg finish the file.

        Raises:
            StorageError: it did not.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if self._process.wait():
            what = f"ffmpeg stopped: {self._reason()}"
            raise StorageError(what, str(self._path), "check the space on the device")

    def abandon(self) -> None:
        """Stop ffmpeg, if it has not ended, and forget it."""
        assert self._process.stdin is not None
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._stderr.close()

    def _reason(self) -> str:
        """What ffmpeg complained about first, without the addresses of its objects."""
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return re.sub(r"\[[^]]*\]", "", lines[0]).strip() if lines else "unknown reason"


FORMATS = (".mp4", ".gif")


def write_video(path: Path | str, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write frames (height, width, 3) uint8; the suffix chooses mp4 or gif.

    The file appears whole or not at all. An mp4 needs even edges: an odd one loses its last row or
    column.

    Args:
        path: file to write; one that exists is replaced.
        frames: pictures of one size, at least one; may be a generator.
        fps: frames per second. A gif counts in hundredths of a second.

    Raises:
        ConfigError: unknown suffix, unfit frames, or the package for it is missing.
        StorageError: the file system refused.
    """
    path = Path(path)
    suffix = require_video(path)
    if fps <= 0:
        raise ConfigError(f"{fps} frames per second", path.name, "give a positive number")
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ConfigError("no frames", path.name, "render at least one")
    pictures = _checked(path, chain([first], iterator), first.shape)
    temporary = temporary_name(path)
    with claimed(path), storage_errors(path):
        try:
            # ffmpeg tells the terminal, at length, why it cannot write: better to know before
            temporary.touch()
            (_write_mp4 if suffix == ".mp4" else _write_gif)(temporary, pictures, first.shape, fps)
            sync_file(temporary)
            os.replace(temporary, path)
        except StorageError as error:
            raise StorageError(error.what, str(path), error.hint) from None
        except ModuleNotFoundError as error:
            what = f"needs the package {error.name}"
            raise ConfigError(what, path.name, 'pip install "lawm[video]"') from None
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def require_video(path: Path) -> str:
    """Check that a video can be written here, before there are frames; returns its suffix.

    Raises:
        ConfigError: unknown suffix.
        StorageError: no such folder, or one of that name, or it is in a corpus.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(f"unknown video format {suffix!r}", str(path), "use .mp4 or .gif")
    if not path.parent.is_dir():
        raise StorageError("there is no such folder", str(path.parent), "make it first")
    if path.is_dir():
        raise StorageError("is a folder", str(path), "give the name of a file in it")
    refuse_inside(path)
    return suffix


def _checked(
    path: Path, frames: Iterable[np.ndarray], shape: tuple[int, ...]
) -> Iterator[np.ndarray]:
    for i, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            what = f"frame {i} is {frame.dtype}{list(frame.shape)}"
            raise ConfigError(what, path.name, "give uint8 [height, width, 3]")
        if frame.shape != shape:
            what = f"frame {i} has shape {frame.shape}, the first {shape}"
            raise ConfigError(what, path.name, "give frames of one size")
        yield frame


def _write_mp4(
    path: Path, frames: Iterator[np.ndarray], shape: tuple[int, ...], fps: float
) -> None:
    height, width = shape[0] // 2 * 2, shape[1] // 2 * 2
    film = Film(path, height, width, fps)
    try:
        for frame in frames:
            film.add(frame[:height, :width])
        film.close()
    finally:
        film.abandon()


def _write_gif(
    path: Path, frames: Iterator[np.ndarray], shape: tuple[int, ...], fps: float
) -> None:
    del shape  # only mp4 needs to know it beforehand
    image = import_module("PIL.Image")
    pictures = (image.fromarray(frame) for frame in frames)
    first, milliseconds = next(pictures), round(1000 / fps)
    with path.open("wb") as file:
        first.save(
            file, "GIF", save_all=True, append_images=pictures, duration=milliseconds, loop=0
        )


DEMUXERS = {
    ".mp4": "mov",
    ".mov": "mov",
    ".m4v": "mov",
    ".mkv": "matroska",
    ".webm": "matroska",
    ".avi": "avi",
    ".gif": "gif",
}
"""Suffixes that are read, and the one demuxer for each: ffmpeg would otherwise go by what is in the
file, and some formats make it open other files or addresses."""


def ffmpeg() -> Any:
    """The ``imageio_ffmpeg`` package, which brings the program.

    Raises:
        ConfigError: it is missing.
    """
    return optional("imageio_ffmpeg", "video", "video", "imageio-ffmpeg")


_PPM = ("-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe")
"""Words for ffmpeg that make ``_pictures``."""


def frames(path: Path, fps: float | None = None) -> Iterator[np.ndarray]:
    """The frames of a video, one by one, (height, width, 3) uint8.

    Args:
        path: a file with a suffix of ``DEMUXERS``.
        fps: resample to so many frames per second, repeating some or leaving some out; None takes
            them as they are.

    Raises:
        CorpusError: not a video, or a damaged one.
    """
    filters = [] if fps is None else [f"fps={fps:.6f}"]
    yield from _decoded(path, filters, _PPM, _pictures)


def timed_frames(path: Path, grey: bool = False) -> Generator[tuple[float, np.ndarray], None, None]:
    """The frames of a video as they are stored, each with the second at which it is shown.

    Seconds are those of the file, in which the first frame may be shown late.

    Args:
        path: a file with a suffix of ``DEMUXERS``.
        grey: take the brightness alone, whatever its bits: depths, say.

    Yields:
        Seconds, and (height, width, 3) uint8; where ``grey``, (height, width, 1) uint8, or uint16
        when there are more than 8 bits.

    Raises:
        CorpusError: not a video, a damaged one, or one whose frames have no times.
    """
    log, filters = _Log(), ["settb=1/1000000", "showinfo=checksum=0"]
    if grey:
        # the plane itself: a conversion to grey would stretch the numbers of some films
        words = ("-strict", "-1", "-f", "yuv4mpegpipe")
        pictures = _decoded(path, [*filters, "extractplanes=y"], words, _planes, log)
    else:
        pictures = _decoded(path, filters, _PPM, _pictures, log)
    with contextlib.closing(pictures):
        for picture in pictures:
            # a frame is logged before it is converted, and so before it is here
            microseconds = log.times.get()
            if microseconds is None:
                raise _unsound(path, "its frames have no times")
            yield microseconds / 1e6, picture


def rounding(path: Path) -> float:
    """Seconds that ``timed_frames`` may be off: Matroska keeps times in whole milliseconds."""
    return 5.01e-4 if _demuxer(path) == "matroska" else 1e-6


def _demuxer(path: Path) -> str:
    found = DEMUXERS.get(path.suffix.lower())
    if found is None:
        what, hint = f"is no {', '.join(DEMUXERS)} file", "convert it to one with ffmpeg"
        raise CorpusError(what, str(path), hint)
    return found


class _Log:
    """What ffmpeg writes to its standard error: complaints, and the times of frames."""

    _TIME = re.compile(rb"showinfo_\d+ @ [^]]*\] \[info\] n: *\d+ pts: *(-?\d+|NOPTS)")

    def __init__(self) -> None:
        self.errors: list[str] = []
        """The first complaints."""
        self.times: SimpleQueue[int | None] = SimpleQueue()
        """Microseconds of each frame, or None: it has no time, or nothing more comes."""

    def listen(self, stream: IO[bytes]) -> None:
        """Read all of it; no frame would come while it waits."""
        for line in stream:
            if found := self._TIME.search(line):
                self.times.put(None if found[1] == b"NOPTS" else int(found[1]))
            elif len(self.errors) < 10 and re.search(rb"\[(error|fatal|panic)\] ", line):
                self.errors.append(line.decode(errors="replace"))
        self.times.put(None)

    @property
    def reason(self) -> str:
        """What ffmpeg complained about first, without the address of its object."""
        return self.errors[0].rpartition("] ")[2].strip() if self.errors else "ffmpeg stopped"


def _decoded(
    path: Path,
    filters: Sequence[str],
    words: Sequence[str],
    parse: Callable[[IO[bytes], Path], Iterator[np.ndarray]],
    timed: _Log | None = None,
) -> Generator[np.ndarray, None, None]:
    """What ``parse`` finds in the output that ffmpeg makes of a video by these words.

    ``timed`` hears of the times of frames, as the file counts them.
    """
    log = _Log() if timed is None else timed
    level = ("-v", "level+error") if timed is None else ("-v", "level+info", "-copyts")
    command = [
        *(ffmpeg().get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-nostats", *level),
        *("-xerror", "-threads", "1"),
        *("-protocol_whitelist", "file", "-max_pixels", str(PIXEL_LIMIT)),
        *("-f", _demuxer(path), "-i", str(path.absolute()), "-map", "0:v:0"),
        *(("-vf", ",".join(filters)) if filters else ()),
        *("-fps_mode", "passthrough", *words, "-"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    listener = Thread(target=log.listen, args=(process.stderr,), daemon=True)
    listener.start()
    try:
        yield from parse(process.stdout, path)
        failed = process.wait()
        listener.join()
        if failed:
            raise _unsound(path, log.reason)
    finally:
        process.stdout.close()
        if process.poll() is None:
            process.kill()
        process.wait()
        listener.join()
        process.stderr.close()


def _pictures(stream: IO[bytes], path: Path) -> Iterator[np.ndarray]:
    """The pictures of a stream of binary PPM files, which each say how large they are."""
    while line := stream.readline(8):
        width, height = map(int, stream.readline(32).split())
        depth = stream.readline(8)
        data = stream.read(width * height * 3)
        if line != b"P6\n" or depth != b"255\n" or len(data) != width * height * 3:
            raise _unsound(path, "it ends within a frame")
        yield np.frombuffer(data, np.uint8).reshape(height, width, 3)


def _planes(stream: IO[bytes], path: Path) -> Iterator[np.ndarray]:
    """The frames of a stream of YUV4MPEG2 that has brightness alone."""
    header = stream.readline(1000).decode(errors="replace").split()
    if not header:
        return
    found = {word[0]: word[1:] for word in header[1:]}
    height, width = int(found["H"]), int(found["W"])
    dtype = np.dtype("u1" if found["C"] == "mono" else "<u2")
    size = height * width * dtype.itemsize
    while line := stream.readline(1000):
        data = stream.read(size)
        if not line.startswith(b"FRAME") or len(data) != size:
            raise _unsound(path, "it ends within a frame")
        yield np.frombuffer(data, dtype).reshape(height, width, 1)


def _unsound(path: Path, reason: str) -> CorpusError:
    return CorpusError(f"is no sound video ({reason})", str(path), "mend or remove it")
