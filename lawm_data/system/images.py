"""Pictures as files have them: PNG, JPEG and the like, to and from arrays, within limits."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import CorpusError
from lawm_schemas.errors import reason_of

from lawm_data.system.optional import optional

PIXEL_LIMIT = 1 << 26
"""Pixels of one picture; a larger one is not decoded."""
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's mode for a number of channels."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
"""Formats that are read; Pillow knows many more, and few of them are needed."""


def pillow() -> Any:
    """Pillow's ``Image`` module.

    Raises:
        ConfigError: it is missing.
    """
    return optional("PIL.Image", "video", "pixels", "pillow")


def encode_png(picture: np.ndarray) -> bytes:
    """A picture (height, width, channels) uint8 as PNG, without loss; 1 to 4 channels."""
    mode = MODES[picture.shape[2]]
    image = pillow().fromarray(picture[..., 0] if mode == "L" else picture)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def decode(data: bytes | Path, channels: int, where: str) -> np.ndarray:
    """A picture (height, width, channels) uint8, from bytes or a file.

    Raises:
        CorpusError: not a picture, a damaged one, or one that is too large.
    """
    module = pillow()
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with module.open(source, formats=FORMATS) as image:
                _check_size(image.size[0], image.size[1], where)
                image = image if image.mode == MODES[channels] else image.convert(MODES[channels])
                array = np.asarray(image)
    except CorpusError:
        raise
    except Exception as error:  # Pillow raises whatever its many decoders do
        # of a file Pillow says where it is, too
        why = reason_of(error) if isinstance(data, bytes) else "cannot be decoded"
        raise CorpusError(f"is no sound picture ({why})", where, "mend or remove it") from None
    return array.reshape(*array.shape[:2], channels)


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture of another size: averaged over areas when it shrinks, bilinear when it grows."""
    if picture.shape[:2] == (height, width):
        return picture
    module = pillow()
    mode = MODES[picture.shape[2]]
    image = module.fromarray(picture[..., 0] if mode == "L" else picture)
    shrinks = height <= picture.shape[0] and width <= picture.shape[1]
    kernel = module.Resampling.BOX if shrinks else module.Resampling.BILINEAR
    array = np.asarray(image.resize((width, height), kernel))
    return array.reshape(height, width, picture.shape[2])


def _check_size(width: int, height: int, where: str) -> None:
    if width * height > PIXEL_LIMIT:
        what = f"has {width} x {height} pixels, more than {PIXEL_LIMIT}"
        raise CorpusError(what, where, "make it smaller")
