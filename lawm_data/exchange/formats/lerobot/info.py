"""``info.json`` of a LeRobot set, checked before it is believed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite, prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import CorpusError

from lawm_data.exchange.formats.lerobot.layout import (
    Episodes,
    inside,
    read_episodes,
    read_json,
    read_lines,
)
from lawm_data.exchange.formats.lerobot.parquet import CHUNK_FILES, HINT

FEATURE_LIMIT = 1000
WIDTH_LIMIT = 1 << 28
"""Numbers of one feature in one frame."""
PICTURES = ("image", "video")
_BEFORE_V2 = (
    "LeRobot 0.3.3 brings a set on the Hub to v2.0, which is read: "
    "python -m lerobot.datasets.v2.convert_dataset_v1_to_v2 --repo-id USER/NAME --single-task TASK"
)


class FeatureInfo(NamedTuple):
    """A feature as ``info.json`` describes it."""

    dtype: str
    shape: tuple[int, ...]
    names: Any
    info: Mapping[str, Any] = {}
    """What else is said of it, of films above all."""


class Info(NamedTuple):
    """A set of which the description was read."""

    root: Path
    fps: float
    features: dict[str, FeatureInfo]
    data_path: str
    video_path: str | None
    episodes: Episodes
    about: Mapping[str, Any] = {}
    """``robot_type`` and ``splits``, as the set says them."""

    def splits_of(self, episode: int) -> list[str]:
        """The names of the splits that an episode is in."""
        splits, found = self.about.get("splits"), []
        for name, span in splits.items() if isinstance(splits, dict) else ():
            ends = re.fullmatch(r"(\d+):(\d+)", span) if isinstance(span, str) else None
            if ends and int(ends[1]) <= episode < int(ends[2]):
                found.append(name)
        return found

    def files(self, without: Sequence[str] = ()) -> tuple[Path, ...]:
        """The files of the set that are read when some features are not."""
        data = [self.data_file(place) for place in np.unique(self.episodes.place, axis=0)]
        films = [
            self.video_file(key, place)
            for key, (places, _) in self.episodes.films.items()
            if key not in without
            for place in np.unique(places, axis=0)
        ]
        listed = (self.root / "meta").glob("episodes/*/*.parquet")
        meta = sorted((*listed, *(self.root / "meta").glob("episodes.jsonl")))
        return (self.root / "meta/info.json", *meta, *data, *films)

    def data_file(self, place: Sequence[int] | np.ndarray) -> Path:
        """A file of frames."""
        return inside(self.root, self.data_path, place)

    def video_file(self, key: str, place: Sequence[int] | np.ndarray) -> Path:
        """A file of one camera."""
        return inside(self.root, self.video_path or "", place, key)


def read_info(root: Path) -> Info:
    """Read the description of a set and its table of episodes.

    Raises:
        CorpusError: not a LeRobot set, one of another version, or not what it says it is.
    """
    path = root / "meta/info.json"
    if not path.is_file() and (root / "meta_data/info.json").is_file():
        raise CorpusError("is a LeRobot set of before v2.0", str(root), _BEFORE_V2)
    if not path.is_file():
        what, hint = "is no LeRobot set: it has no meta/info.json", "check the path"
        raise CorpusError(what, str(root), hint)
    content = read_json(root, "meta/info.json")
    version = content.get("codebase_version") if isinstance(content, dict) else None
    if not isinstance(version, str) or not version.startswith(("v2.", "v3.")):
        old = str(version).startswith("v1.")
        hint = _BEFORE_V2 if old else "give a set of v2.0, v2.1 or v3.0"
        raise CorpusError(f"has version {version!r}, not v3.0", str(path), hint)
    fps = content["fps"] if type(content.get("fps")) in (int, float) else 0
    if not isfinite(fps) or not 0 < fps <= 1e6:
        raise CorpusError("has no sound fps", str(path), HINT)
    features = _features(content.get("features"), str(path))
    cameras = [key for key, feature in features.items() if feature.dtype == "video"]
    data_path, video_path = content.get("data_path"), content.get("video_path")
    if not isinstance(data_path, str) or not (isinstance(video_path, str) or not cameras):
        raise CorpusError("does not say where the files are", str(path), HINT)
    if version.startswith("v3."):
        episodes = read_episodes(root, cameras)
    else:
        chunk = content.get("chunks_size", CHUNK_FILES)
        if type(chunk) is not int or chunk < 1:
            raise CorpusError(f"has chunks_size {chunk!r}", str(path), HINT)
        episodes = read_lines(root, cameras, chunk)
    for key, count in (("total_episodes", len(episodes.length)), ("total_frames", None)):
        count = int(episodes.length.sum()) if count is None else count
        if content.get(key) != count:
            what = f"says {key} {content.get(key)!r}, and the table of episodes has {count}"
            raise CorpusError(what, str(path), HINT)
    about = {key: content.get(key) for key in ("robot_type", "splits")}
    return Info(root, fps, features, data_path, video_path, episodes, about)


def _features(described: Any, where: str) -> dict[str, FeatureInfo]:
    if not isinstance(described, dict) or not 0 < len(described) <= FEATURE_LIMIT:
        raise CorpusError("describes no features, or too many", where, HINT)
    features = {}
    for name, feature in described.items():
        here = f"{where}: feature {name[:100]!r}"
        shape = feature.get("shape") if isinstance(feature, dict) else None
        if not isinstance(shape, list) or not isinstance(feature.get("dtype"), str):
            raise CorpusError("has no dtype or no shape", here, HINT)
        if not all(type(n) is int and 0 < n <= WIDTH_LIMIT for n in shape) or len(shape) > 8:
            raise CorpusError(f"has shape {str(shape)[:100]}", here, HINT)
        if prod(shape) > WIDTH_LIMIT:
            raise CorpusError(f"has {prod(shape)} numbers a frame", here, "do not trust it")
        more = [feature.get(key) for key in ("info", "video_info")]  # the latter in older sets
        about = {k: v for notes in more if isinstance(notes, dict) for k, v in notes.items()}
        kind, axes = feature["dtype"], feature.get("names")
        features[name] = FeatureInfo(kind, tuple(shape), axes, about)
    return features
