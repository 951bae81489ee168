"""New mp4 files, written picture by picture through ffmpeg."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from importlib import import_module
from pathlib import Path

import numpy as np
from lawm_schemas import StorageError


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
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - abandon closes it
        # a session of its own: Ctrl-C is for this process, which then ends that one
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=self._said, start_new_session=True
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
        self._said.close()

    def _reason(self) -> str:
        """What ffmpeg complained about first, without the addresses of its objects."""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return re.sub(r"\[[^]]*\]", "", lines[0]).strip() if lines else "unknown reason"
