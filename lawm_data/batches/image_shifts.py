"""Random shifts of pictures (DrQ, Yarats et al. 2021), as a pure function of seed and batch."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt

from lawm_data.batches.windows import uniforms

STREAM = 1 << 32
"""Of the numbers that shifts are drawn from: far from those of the windows."""


def shifted(
    images: UInt[np.ndarray, "B rows h w c"],
    most: int,
    key: int,
    step: int,
    share: tuple[int, int] = (0, 1),
) -> UInt[np.ndarray, "B rows h w c"]:
    """Each window moved by up to ``most`` pixels up or down and to a side, its edges repeated.

    All frames of a window move alike, so that what moves in it is what moved in the data.

    Args:
        images: of windows.
        most: largest shift, in pixels.
        key: of the draws, 128 bits.
        step: number of the batch.
        share: (r, N) where the windows are r::N of the batch.
    """
    height, width = images.shape[2:4]
    first, count = share
    drawn = uniforms(key, STREAM, step, (count * len(images), 2))[first::count] * (2 * most + 1)
    moved = np.empty_like(images)
    for window, out, (down, aside) in zip(
        images, moved, drawn.astype(np.int64) - most, strict=True
    ):
        rows = np.clip(np.arange(height) + down, 0, height - 1)
        columns = np.clip(np.arange(width) + aside, 0, width - 1)
        out[...] = window[:, rows[:, None], columns]
    return moved
