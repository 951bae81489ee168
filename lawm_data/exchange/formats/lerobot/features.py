"""What the arrays of a corpus are called in a LeRobot set, and how ``info.json`` describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, LatentSet, Role

from lawm_data.corpus.latents import CODE, KNOWN, LATENT
from lawm_data.corpus.layout import element_names
from lawm_data.system.images import is_picture

VERSION = "v3.0"
STATE = "observation.state"
ACTION = "action"
# LeRobot feeds every feature whose name begins with "action" or "observation" to its policies; so
# what describes the actions, and must not be learned, has names that begin otherwise.
OBSERVED, LABELS = "lawm.action_observed", "lawm.action_state"
MEAN, STD = "lawm.inferred_mean", "lawm.inferred_std"
# "latent_action" begins otherwise too: only who asks for it learns from it
REWARD, DONE = "next.reward", "next.done"
TERMINATED, TRUNCATED = "next.terminated", "next.truncated"
TASK = "task_index"
COUNTERS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    TASK: "int64",
}
"""Columns that LeRobot adds to every frame."""


class Feature(NamedTuple):
    """One feature of a LeRobot set that holds observations."""

    name: str
    """Its name there."""
    arrays: tuple[ArraySpec, ...]
    """The arrays in it: one, or all fields of the state."""
    storage: str
    """``numbers``, ``image`` or ``video``."""

    @property
    def width(self) -> int:
        """Numbers in a frame."""
        return sum(spec.size for spec in self.arrays)

    @property
    def dtype(self) -> str:
        """NumPy name of their type."""
        return self.arrays[0].dtype


def features_of(observations: Sequence[ArraySpec], videos: bool) -> tuple[Feature, ...]:
    """The features that hold the arrays of a corpus; the same ones for the same arrays.

    float32 state fields become ``observation.state``, pictures of 1 to 4 channels
    ``observation.images.NAME``, and every other array a feature of its own, flattened.

    Args:
        observations: arrays of the corpus.
        videos: pictures of three channels and even edges go into mp4 files.
    """
    state = tuple(s for s in observations if s.role is Role.state and s.dtype == "float32")
    features = [Feature(STATE, state, "numbers")] if state else []
    taken = {STATE}
    for spec in observations:
        if spec in state:
            continue
        picture = spec.role is Role.pixels and is_picture(spec.shape, spec.dtype)
        start = "physics." if spec.role is Role.physics else "observation."
        name = f"{start}images.{spec.name}" if picture else start + spec.name
        while name in taken:
            name += "_"
        taken.add(name)
        storage = "numbers"
        if picture:
            storage = "video" if videos and films(spec) else "image"
        features.append(Feature(name, (spec,), storage))
    return tuple(features)


def films(spec: ArraySpec) -> bool:
    """Whether an mp4 can hold the pictures: three channels of 8 bits, even edges."""
    height, width, channels = spec.shape
    return spec.dtype == "uint8" and channels == 3 and height % 2 == 0 and width % 2 == 0


def info_features(
    features: Sequence[Feature],
    action: ArraySpec,
    inferred: bool,
    latents: LatentSet | None,
    fps: float,
    elements: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """``features`` of ``info.json``.

    Args:
        features: those of the observations.
        action: what an action is.
        inferred: whether there are inferred actions.
        latents: latent actions, if there are some.
        fps: frames per second.
        elements: names of joints and the like, by array, where a set had them.
    """
    info: dict[str, dict[str, Any]] = {}
    for feature in features:
        spec = feature.arrays[0]
        if feature.storage == "numbers":
            # a name for every number; of pixels that no picture file can hold there are too many
            plain = spec.role is not Role.pixels
            names = [n for s in feature.arrays for n in _names(s, elements)] if plain else None
            info[feature.name] = _numbers(feature.dtype, feature.width, names)
            continue
        height, width, channels = spec.shape
        info[feature.name] = {
            "dtype": feature.storage,
            "shape": list(spec.shape),
            "names": ["height", "width", "channels"],
        }
        if spec.dtype == "uint16":
            # LeRobot then gives the numbers as they are, and not as shares of 255
            info[feature.name]["info"] = {"is_depth_map": True, "depth_unit": "mm"}
        if feature.storage == "video":
            info[feature.name]["info"] = {
                "video.height": height,
                "video.width": width,
                "video.channels": channels,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": fps,
                "has_audio": False,
            }
    names = _names(action, elements)
    info[ACTION] = _numbers(action.dtype, action.size, names)
    info[REWARD] = _numbers("float32")
    for flag in (DONE, TERMINATED, TRUNCATED, OBSERVED):
        info[flag] = _numbers("bool")
    info[LABELS] = _numbers("string")
    if inferred:
        info |= {name: _numbers("float32", action.size, names) for name in (MEAN, STD)}
    for name, (dtype, width) in latent_columns(latents).items():
        info[name] = _numbers(dtype, width)
    return info | {name: _numbers(kind) for name, kind in COUNTERS.items()}


def latent_columns(latents: LatentSet | None) -> dict[str, tuple[str, int]]:
    """Type and width of the features that hold latent actions."""
    if latents is None:
        return {}
    coded = {} if latents.codes is None else {CODE: ("int64", 1)}
    return {LATENT: ("float32", latents.width), KNOWN: ("bool", 1), **coded}


def arrow_types(info: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The features as ``datasets`` writes them into the metadata of a Parquet schema."""
    types = {}
    for name, feature in info.items():
        if feature["dtype"] == "video":
            continue
        value: dict[str, Any] = {"dtype": feature["dtype"], "_type": "Value"}
        if feature["dtype"] == "image":
            value = {"_type": "Image"}
        elif feature["shape"] != [1]:
            value = {"feature": value, "length": feature["shape"][0], "_type": "List"}
        types[name] = value
    return types


def joined(feature: Feature, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The arrays of a feature side by side, (n, width)."""
    flat = [arrays[s.name].reshape(len(arrays[s.name]), s.size) for s in feature.arrays]
    return flat[0] if len(flat) == 1 else np.concatenate(flat, 1)


def parted(feature: Feature, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of a feature by name, (n, *shape): what ``joined`` put together."""
    arrays, start = {}, 0
    for spec in feature.arrays:
        arrays[spec.name] = rows[:, start : start + spec.size].reshape(len(rows), *spec.shape)
        start += spec.size
    return arrays


def _names(spec: ArraySpec, elements: Mapping[str, Any]) -> list[str]:
    given = elements.get(spec.name)
    if isinstance(given, list) and len(given) == spec.size:
        return [str(name) for name in given]
    return element_names(spec)


def _numbers(dtype: str, width: int = 1, names: list[str] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [width], "names": names}
