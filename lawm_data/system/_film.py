"""Video files read frame by frame through ffmpeg, which is told to open nothing else."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from lawm_schemas import CorpusError

from lawm_data.system.images import PIXEL_LIMIT
from lawm_data.system.optional import optional

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


def frames(path: Path, fps: float | None = None) -> Iterator[np.ndarray]:
    """The frames of a video, one by one, (height, width, 3) uint8.

    Args:
        path: a file with a suffix of ``DEMUXERS``.
        fps: resample to so many frames per second, repeating some or leaving some out; None takes
            them as they are.

    Raises:
        CorpusError: not a video, or a damaged one.
    """
    command = [
        *(ffmpeg().get_ffmpeg_exe(), "-nostdin", "-v", "error", "-xerror", "-threads", "1"),
        *("-protocol_whitelist", "file", "-max_pixels", str(PIXEL_LIMIT)),
        *("-f", DEMUXERS[path.suffix.lower()], "-i", str(path.absolute()), "-map", "0:v:0"),
        *(() if fps is None else ("-vf", f"fps={fps:.6f}")),
        *("-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "-"),
    ]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        try:
            yield from _pictures(process.stdout, path)
            if process.wait():
                raise _unsound(path, _reason(log))
        finally:
            process.stdout.close()
            if process.poll() is None:
                process.kill()
            process.wait()


def _pictures(stream: IO[bytes], path: Path) -> Iterator[np.ndarray]:
    """The pictures of a stream of binary PPM files, which each say how large they are."""
    while line := stream.readline(8):
        width, height = map(int, stream.readline(32).split())
        depth = stream.readline(8)
        data = stream.read(width * height * 3)
        if line != b"P6\n" or depth != b"255\n" or len(data) != width * height * 3:
            raise _unsound(path, "it ends within a frame")
        yield np.frombuffer(data, np.uint8).reshape(height, width, 3)


def _reason(log: IO[bytes]) -> str:
    """What ffmpeg complained about last, without the address of its object."""
    log.seek(0)
    lines = log.read(1 << 16).decode(errors="replace").strip().splitlines()
    return lines[0].rpartition("] ")[2].strip() if lines else "ffmpeg stopped"


def _unsound(path: Path, reason: str) -> CorpusError:
    return CorpusError(f"is no sound video ({reason})", str(path), "mend or remove it")
