"""Pictures from files: every bit is kept, and they stand upright."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from lawm_schemas import CorpusError
from PIL import Image

from lawm_data.system.images import decode, encode_png, is_picture, resize

DEPTH = (np.arange(16 * 24).reshape(16, 24, 1) * 170).astype(np.uint16)


def saved(picture: np.ndarray, kind: str, **more: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **more)
    return file.getvalue()


@pytest.mark.parametrize(
    ("channels", "dtype"), [(1, "u1"), (2, "u1"), (3, "u1"), (4, "u1"), (1, "u2")]
)
def test_a_png_gives_back_every_number(channels: int, dtype: str) -> None:
    rng = np.random.default_rng(channels)
    picture = rng.integers(0, np.iinfo(dtype).max, (9, 7, channels), dtype, endpoint=True)
    assert is_picture(picture.shape, picture.dtype.name)
    back = decode(encode_png(picture), channels, "here")
    assert back.dtype == picture.dtype
    assert np.array_equal(back, picture)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_depths_are_never_clipped(kind: str, channels: int) -> None:
    back = decode(saved(DEPTH[..., 0], kind), channels, "here")
    assert back.dtype == np.uint16
    assert np.array_equal(back, DEPTH)


def test_metres_become_millimetres() -> None:
    data = saved((DEPTH[..., 0] / 1000).astype(np.float32), "TIFF")
    assert np.array_equal(decode(data, 1, "here", metres=True), DEPTH)
    with pytest.raises(CorpusError, match="floating-point numbers"):
        decode(data, 1, "here")
    far = saved(np.full((8, 8), 66, np.float32), "TIFF")
    with pytest.raises(CorpusError, match="beyond 0 to 65535"):
        decode(far, 1, "here", metres=True)


def test_colours_of_16_bits_are_refused() -> None:
    """Pillow would give their upper halves without a word."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress((b"\0" + bytes(range(48))) * 8))
    with pytest.raises(CorpusError, match="colours of 16 bits"):
        decode(b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b""), 3, "here")


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_stand_upright(turn: int) -> None:
    """Every way in which a camera can be held; the corner that is bright then is on top left."""
    upright = np.zeros((32, 48), np.uint8)
    upright[:16, :16] = 255
    undo = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}[turn]
    stored = np.rot90(upright, undo)
    if turn in (2, 4, 5, 7):
        stored = np.rot90(upright[:, ::-1], {2: 0, 4: 2, 5: 1, 7: 3}[turn])
    exif = Image.Exif()
    exif[0x0112] = turn
    for kind in ("JPEG", "PNG"):
        found = decode(saved(np.ascontiguousarray(stored), kind, exif=exif), 1, "here")
        assert found.shape == (32, 48, 1)
        assert found[4, 4] > 200
        assert max(found[4, -4], found[-4, 4], found[-4, -4]) < 50


def test_a_resized_depth_is_one_that_was_measured() -> None:
    edge = np.zeros((10, 10, 1), np.uint16)
    edge[:, 5:] = 60_000
    assert set(resize(edge, 3, 4).ravel().tolist()) == {0, 60_000}
    assert np.array_equal(resize(resize(DEPTH, 32, 48), 16, 24), DEPTH)
