"""Frames to a video file: mp4 through ffmpeg, gif through Pillow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path

import numpy as np
from lawm_schemas import ConfigError, StorageError

from lawm_data.system.atomic import storage_errors, sync_folder, temporary_name
from lawm_data.system.film import Film
from lawm_data.system.output import claimed, refuse_inside, sync_file

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
            raise StorageError(error.what, str(path), error.mend) from None
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
