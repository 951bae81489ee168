"""Stacks of frames: at every step those before it too, one behind the other in the channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt
from lawm_schemas import ArraySpec, Role


def stacked_specs(specs: Sequence[ArraySpec], count: int) -> tuple[ArraySpec, ...]:
    """Fields as they are observed when ``count`` frames of every camera are stacked."""
    if count == 1:
        return tuple(specs)
    return tuple(_stacked(spec, count) if spec.role is Role.pixels else spec for spec in specs)


def _stacked(spec: ArraySpec, count: int) -> ArraySpec:
    height, width, channels = spec.shape
    return spec.model_copy(update={"shape": (height, width, count * channels)})


def stacked(
    frames: UInt[np.ndarray, "B before_and_rows h w c"],
    missing: Int[np.ndarray, " B"],
    count: int,
) -> UInt[np.ndarray, "B rows h w count*c"]:
    """Every frame behind those before it, the oldest first.

    Args:
        frames: of windows, beginning up to ``count - 1`` frames early, and of one length.
        missing: how many of those a trajectory does not have; its first frame stands for them.
        count: frames of a stack.
    """
    rows = frames.shape[1] - count + 1
    step = np.arange(rows)[:, None] + np.arange(count)
    places = np.maximum(step[None] - missing[:, None, None], 0)
    picked = frames[np.arange(len(frames))[:, None, None], places]
    channels = np.moveaxis(picked, 2, 4)
    return channels.reshape(*channels.shape[:4], -1)
