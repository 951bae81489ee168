"""Pictures as files have them: PNG, JPEG and the like, to and from arrays, within limits."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import CorpusError
from lawm_schemas.errors import reason_of

from lawm_data.system.optional import optional

PIXEL_LIMIT = 1 << 26
"""Pixels of one picture; a larger one is not decoded."""
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's mode for a number of channels of 8 bits."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Formats that are read; Pillow knows many more, and few of them are needed."""
DEEP = ("I;16", "I;16L", "I;16B", "I")
"""Pillow's modes of grey pictures of 16 bits; older versions call all of them ``I``."""


def pillow() -> Any:
    """Pillow's ``Image`` module.

    Raises:
        ConfigError: it is missing.
    """
    return optional("PIL.Image", "video", "pixels", "pillow")


def is_picture(shape: Sequence[int], dtype: str) -> bool:
    """Whether a picture file holds (height, width, channels) numbers without loss.

    Of 8 bits it holds 1 to 4 channels, of 16 bits, as of depth cameras, one.
    """
    return len(shape) == 3 and (shape[2] == 1 if dtype == "uint16" else shape[2] in MODES)


def encode_png(picture: np.ndarray) -> bytes:
    """A picture (height, width, channels) of ``is_picture`` as PNG, without loss."""
    image = pillow().fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def decode(data: bytes | Path, channels: int, where: str, metres: bool = False) -> np.ndarray:
    """A picture (height, width, channels), from bytes or a file, upright as its EXIF data says.

    Args:
        data: the file, or what is in it.
        channels: of a picture of 8 bits, which is converted to that many.
        where: for messages.
        metres: floats are depths in metres; they become whole millimetres.

    Returns:
        uint8, or uint16 (height, width, 1) of a grey picture of 16 bits: nothing is scaled.

    Raises:
        CorpusError: not a picture, a damaged one, one that is too large, or of other numbers.
    """
    module = pillow()
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with module.open(source, formats=FORMATS) as image:
                _check_size(image.size[0], image.size[1], where)
                _check_depth(image, where)
                if image.getexif().get(ORIENTATION, 1) != 1:
                    image = optional("PIL.ImageOps", "video", "pixels", "pillow").exif_transpose(
                        image
                    )
                if image.mode in DEEP or image.mode == "F":
                    return _deep(np.asarray(image), where, metres)
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
    """A picture of another size: averaged over areas when it shrinks, bilinear when it grows.

    16 bits are measurements: the nearest is taken, as a mean over an edge is a depth at which
    nothing is.
    """
    if picture.shape[:2] == (height, width):
        return picture
    if picture.dtype == np.uint16:
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(int)
            for new, old in zip((height, width), picture.shape[:2], strict=True)
        )
        return picture[rows[:, None], columns]
    module = pillow()
    mode = MODES[picture.shape[2]]
    image = module.fromarray(picture[..., 0] if mode == "L" else picture)
    shrinks = height <= picture.shape[0] and width <= picture.shape[1]
    kernel = module.Resampling.BOX if shrinks else module.Resampling.BILINEAR
    array = np.asarray(image.resize((width, height), kernel))
    return array.reshape(height, width, picture.shape[2])


ORIENTATION = 0x0112
"""The number of the EXIF entry that says which side is up."""


def _check_depth(image: Any, where: str) -> None:
    """Refuse colours of 16 bits, of which Pillow gives the upper 8 without a word."""
    kinds = {str(tile[3]) for tile in image.tile if isinstance(tile[3], str)}
    kinds |= {str(tile[3][0]) for tile in image.tile if isinstance(tile[3], tuple)}
    if image.mode in MODES.values() and any(";16" in kind for kind in kinds):
        what = "has colours of 16 bits a channel, and 8 are read"
        raise CorpusError(what, where, "save it with 8 bits, or as grey of 16")


def _deep(array: np.ndarray, where: str, metres: bool) -> np.ndarray:
    """Grey numbers (height, width) as (height, width, 1) uint16."""
    if array.dtype.kind == "f":
        if not metres:
            what = "has floating-point numbers, and whole ones are read"
            raise CorpusError(what, where, "save it with 16 bits, in millimetres say")
        array = np.rint(array * 1000.0)
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 65535):
        raise CorpusError("has numbers beyond 0 to 65535", where, "save it with 16 bits")
    return array.astype(np.uint16)[..., None]


def _check_size(width: int, height: int, where: str) -> None:
    if width * height > PIXEL_LIMIT:
        what = f"has {width} x {height} pixels, more than {PIXEL_LIMIT}"
        raise CorpusError(what, where, "make it smaller")
