"""Depth cameras of LeRobot: films of 12 bits, of which each number stands for a distance."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np
from lawm_schemas import CorpusError

CODES = 4096
"""Numbers of 12 bits."""
USUAL = {"depth_min": 0.01, "depth_max": 10.0, "shift": 3.5, "use_log": True}
"""How LeRobot 0.6 spreads the codes when ``info.json`` does not say; metres."""


def is_depth(info: Mapping[str, Any]) -> bool:
    """Whether the ``info`` of a feature calls it a depth map, in any spelling of LeRobot's."""
    return any(info.get(key) is True for key in ("is_depth_map", "video.is_depth_map"))


def millimetres(info: Mapping[str, Any], where: str) -> np.ndarray:
    """(4096,) uint16: the millimetres that each code of a depth film stands for.

    Codes are evenly spaced in the logarithm of the distance plus ``shift``, or in the distance
    itself: near things, which cameras measure well, then have more of them.

    Args:
        info: of the feature.
        where: for messages.

    Raises:
        CorpusError: the range makes no sense.
    """
    found = {key: info.get(f"video.{key}", usual) for key, usual in USUAL.items()}
    least, most, shift = (_number(found[key]) for key in ("depth_min", "depth_max", "shift"))
    if not (0 <= least < most < 1e6 and (least + shift > 0 or not found["use_log"])):
        what = f"has depths from {found['depth_min']} to {found['depth_max']}, {found['shift']} on"
        raise CorpusError(what, where, "correct video.depth_min, depth_max and shift in info.json")
    share = np.arange(CODES) / (CODES - 1)
    if found["use_log"]:
        near, far = np.log(least + shift), np.log(most + shift)
        metres = np.exp(near + share * (far - near)) - shift
    else:
        metres = least + share * (most - least)
    return np.rint(np.clip(metres, least, most) * 1000).clip(0, 65535).astype(np.uint16)


def _number(value: Any) -> float:
    """The number, or NaN, which is never in a range."""
    return float(value) if type(value) in (int, float) else nan
