"""What a foreign array becomes: its spec, its plain type, its bounds; and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Role
from lawm_schemas.arrays import DTYPES, PICTURES

CHANNELS = (1, 3, 4)
"""Last axis of an image."""
SMALLEST_IMAGE = 8
"""Pixels on a side; smaller blocks of bytes are not taken for images."""
WIDER = {"float16": "float32", "uint32": "int64"}
"""Types that a corpus does not know, and the ones that hold all their numbers."""


def plain_dtype(stored: np.dtype, where: str) -> np.dtype:
    """The type of a corpus that holds every number of a foreign type.

    Raises:
        CorpusError: objects, texts, records, complex numbers and the like.
    """
    name = stored.name if stored.kind in "biuf" and not stored.hasobject else ""
    name = WIDER.get(name, name)
    if name not in DTYPES:
        raise CorpusError(f"has type {stored}, not numbers", where, "store it as plain numbers")
    return np.dtype(name)


def to_plain(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The same numbers in this machine's order of bytes."""
    return array if array.dtype == dtype and array.dtype.isnative else array.astype(dtype)


def observation_spec(name: str, shape: tuple[int, ...], dtype: np.dtype, where: str) -> ArraySpec:
    """The spec of an observed array.

    Args:
        name: what it is called.
        shape: of one step.
        dtype: its plain type; uint8 and uint16 of the shape of an image are an image, and a stack
            of its last frames is one of many channels.
        where: for messages.

    Raises:
        CorpusError: the name or the shape cannot be those of an array of a corpus.
    """
    role = Role.state
    if dtype.name in PICTURES and is_image(shape):
        role = Role.pixels
    return checked_spec(name, shape, dtype, role, where)


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether this is (height, width, channels), where channels may be those of several frames."""
    return len(shape) == 3 and min(shape[:2]) >= SMALLEST_IMAGE and shape[2] <= min(shape[:2])


def turned_spec(
    name: str, shape: tuple[int, ...], dtype: np.dtype, where: str
) -> tuple[ArraySpec, bool]:
    """The spec of an observed array, and whether it is a picture whose channels come first.

    Args:
        name: what it is called.
        shape: of one step, as it is stored.
        dtype: its plain type.
        where: for messages.

    Raises:
        CorpusError: see ``observation_spec``.
    """
    if len(shape) == 3 and not is_image(shape) and is_image((*shape[1:], shape[0])):
        spec = observation_spec(name, (*shape[1:], shape[0]), dtype, where)
        if spec.role is Role.pixels:
            return spec, True
    return observation_spec(name, shape, dtype, where), False


def checked_spec(
    name: str, shape: tuple[int, ...], dtype: np.dtype, role: Role, where: str, **bounds: object
) -> ArraySpec:
    """A spec, or the refusal of what cannot be one.

    Raises:
        CorpusError: the name or the shape cannot be those of an array of a corpus.
    """
    data = {"name": name, "shape": shape, "dtype": dtype.name, "role": role, **bounds}
    try:
        return ArraySpec.parse(data, where)
    except ConfigError as error:
        raise CorpusError(error.what, where, "rename or reshape it") from None


def require_rows(shape: tuple[int, ...], rows: int, where: str) -> None:
    """Refuse an array of another length than the rest.

    Raises:
        CorpusError: says how long it is and how long it should be.
    """
    if not shape or shape[0] != rows:
        length = f"{shape[0]} rows" if shape else "no rows"
        raise CorpusError(f"has {length} where {rows} are due", where, "make the lengths agree")


def require_finite(array: np.ndarray, where: str, first_row: int = 0) -> np.ndarray:
    """The array, unless it holds NaN or infinity.

    Raises:
        CorpusError: names the first such row.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        rows = np.atleast_1d(array)
        bad = ~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)
        row = first_row + int(np.argmax(bad))
        what = f"row {row} holds a number that is not finite"
        raise CorpusError(what, where, "repair it, or leave that trajectory out")
    return array


def first_difference(one: np.ndarray, other: np.ndarray) -> int | None:
    """The first row in which two arrays of one shape differ."""
    differ = np.flatnonzero((one != other).any(axis=tuple(range(1, one.ndim))))
    return int(differ[0]) if len(differ) else None


def column(array: np.ndarray, where: str) -> np.ndarray:
    """One number a row, (n,), of an array (n,) or (n, 1).

    Raises:
        CorpusError: more than one number a row.
    """
    if not array.ndim or array.size != len(array):
        raise CorpusError(f"has shape {array.shape}, not one number a row", where, "reshape it")
    return array.reshape(len(array))


def flags(array: np.ndarray, where: str) -> np.ndarray:
    """One bool a row, of an array of bools or of zeros and ones.

    Raises:
        CorpusError: anything else.
    """
    numbers = column(array, where)
    if not ((numbers == 0) | (numbers == 1)).all():
        raise CorpusError("holds numbers other than 0 and 1", where, "store flags as 0 and 1")
    return numbers.astype(bool)


def whole_images(array: np.ndarray, where: str) -> np.ndarray:
    """Images that were stored as floats, as the bytes that they were.

    Raises:
        CorpusError: numbers other than 0, 1, … 255.
    """
    with np.errstate(invalid="ignore"):
        images = array.astype(np.uint8)
    if not np.array_equal(images, array):
        what = "is an image with numbers other than 0, 1, … 255"
        raise CorpusError(what, where, "store it as uint8")
    return images


def action_bounds(arrays: Iterable[np.ndarray], size: int) -> dict[str, tuple[float, ...]]:
    """Bounds of -1 and 1 when all actions lie between them, else none.

    The formats keep no bounds. Their environments scale actions to [-1, 1] by convention, which is
    believed where the numbers agree.
    """
    least, most, found = 0.0, 0.0, False
    for array in arrays:
        if array.dtype.kind != "f":
            return {}
        if array.size:
            found = True
            least, most = min(least, float(array.min())), max(most, float(array.max()))
    if not found or not (least >= -1 and most <= 1):
        return {}
    return {"low": (-1.0,) * size, "high": (1.0,) * size}


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key that sorts numbers in names by their size and before letters, whatever their case."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts], name
