"""``info.json`` and the table of episodes of a LeRobot set, checked before they are believed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from math import isfinite, prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ConfigError, CorpusError, load_json

from lawm_data.exchange.formats.lerobot.parquet import HINT, ParquetReader, from_column

JSON_LIMIT = 1 << 28
"""Bytes of a file of JSON; a larger one is not read."""
FEATURE_LIMIT = 1000
EPISODE_LIMIT = 1 << 24
"""Rows of a file of the table of episodes, which is held in memory."""
WIDTH_LIMIT = 1 << 28
"""Numbers of one feature in one frame."""
PICTURES = ("image", "video")
_HOLE = re.compile(r"\{(chunk_index|file_index|video_key)(?::0([1-9])d)?\}")
_CONVERT = (
    "with LeRobot 0.6, python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=USER/NAME "
    "--root=FOLDER --push-to-hub=false brings it to v3.0"
)
_OLDER = "bring it to v2.1 with the LeRobot of its time first; LeRobot 0.6 converts v2.1 alone"


class FeatureInfo(NamedTuple):
    """A feature as ``info.json`` describes it."""

    dtype: str
    shape: tuple[int, ...]
    names: Any
    info: Mapping[str, Any] = {}
    """What else is said of it, of films above all."""


class Episodes(NamedTuple):
    """The table of episodes, column by column."""

    length: np.ndarray
    """(E,) frames."""
    place: np.ndarray
    """(E, 2): chunk and file of the frames."""
    films: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """By camera, chunk and file (E, 2), and the second (E,) at which the episode starts there."""
    tasks: tuple[Any, ...]
    """Arrow arrays of lists of texts, end to end; empty when they are not known."""


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

    def split(self, episode: int) -> str | None:
        """The name of the split that an episode is in; of several, the first."""
        splits = self.about.get("splits")
        for name, span in splits.items() if isinstance(splits, dict) else ():
            ends = re.fullmatch(r"(\d+):(\d+)", span) if isinstance(span, str) else None
            if ends and int(ends[1]) <= episode < int(ends[2]):
                return name
        return None

    def files(self, without: Sequence[str] = ()) -> tuple[Path, ...]:
        """The files of the set that are read when some features are not."""
        data = [self.data_file(place) for place in np.unique(self.episodes.place, axis=0)]
        films = [
            self.video_file(key, place)
            for key, (places, _) in self.episodes.films.items()
            if key not in without
            for place in np.unique(places, axis=0)
        ]
        meta = sorted((self.root / "meta/episodes").glob("*/*.parquet"))
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
    if not path.is_file():
        what, hint = "is no LeRobot set: it has no meta/info.json", "check the path"
        raise CorpusError(what, str(root), hint)
    content = read_json(root, "meta/info.json")
    version = content.get("codebase_version") if isinstance(content, dict) else None
    if not isinstance(version, str) or not version.startswith("v3."):
        hint = _OLDER if str(version).startswith(("v1", "v2")) else "give a set of v3"
        hint = _CONVERT if version == "v2.1" else hint
        raise CorpusError(f"has version {version!r}, not v3.0", str(path), hint)
    fps = content["fps"] if type(content.get("fps")) in (int, float) else 0
    if not isfinite(fps) or not 0 < fps <= 1e6:
        raise CorpusError("has no sound fps", str(path), HINT)
    features = _features(content.get("features"), str(path))
    cameras = [key for key, feature in features.items() if feature.dtype == "video"]
    data_path, video_path = content.get("data_path"), content.get("video_path")
    if not isinstance(data_path, str) or not (isinstance(video_path, str) or not cameras):
        raise CorpusError("does not say where the files are", str(path), HINT)
    episodes = _episodes(root, cameras)
    for key, count in (("total_episodes", len(episodes.length)), ("total_frames", None)):
        count = int(episodes.length.sum()) if count is None else count
        if content.get(key) != count:
            what = f"says {key} {content.get(key)!r}, and meta/episodes has {count}"
            raise CorpusError(what, str(path), HINT)
    about = {key: content.get(key) for key in ("robot_type", "splits")}
    return Info(root, fps, features, data_path, video_path, episodes, about)


def read_json(root: Path, name: str) -> Any:
    """A file of JSON in a set.

    Raises:
        CorpusError: missing, too large, outside the set, or not JSON.
    """
    path = inside(root, name)
    if not path.is_file():
        raise CorpusError("there is no such file", str(path), HINT)
    if path.stat().st_size > JSON_LIMIT:
        raise CorpusError(f"is larger than {JSON_LIMIT} bytes", str(path), HINT)
    try:
        return load_json(path)
    except ConfigError as error:
        raise CorpusError(error.what, error.where, HINT) from None


def inside(
    root: Path, pattern: str, place: Sequence[int] | np.ndarray = (0, 0), key: str = ""
) -> Path:
    """The file that a pattern of ``info.json`` names, which lies in the set.

    Raises:
        CorpusError: the pattern leads outside, or is not one.
    """
    values = {"chunk_index": int(place[0]), "file_index": int(place[1])}

    def filled(hole: re.Match[str]) -> str:
        name, digits = hole.groups()
        return key if name == "video_key" else f"{values[name]:0{digits or 1}d}"

    name = _HOLE.sub(filled, pattern)
    parts = Path(name).parts
    where = str(root / "meta/info.json")
    if not parts or "{" in name or "\0" in name or ".." in parts or Path(name).is_absolute():
        raise CorpusError(f"has a path {pattern[:100]!r}", where, "do not trust it")
    path = root / name
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        hint = "copy the set with the files that its links point to (cp -rL)"
        raise CorpusError("leads outside the set", str(path), hint)
    return path


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
        about = {k: v for said in more if isinstance(said, dict) for k, v in said.items()}
        kind, axes = feature["dtype"], feature.get("names")
        features[name] = FeatureInfo(kind, tuple(shape), axes, about)
    return features


def _episodes(root: Path, cameras: list[str]) -> Episodes:
    folder = root / "meta/episodes"
    paths = sorted(folder.glob("*/*.parquet"))
    if not paths:
        raise CorpusError("has no table of episodes", str(folder), HINT)
    whole = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    starts = [f"videos/{camera}/from_timestamp" for camera in cameras]
    whole += [f"videos/{c}/{kind}_index" for c in cameras for kind in ("chunk", "file")]
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*whole, *starts)}
    tasks: list[Any] = []
    for path in paths:
        inside(root, str(path.relative_to(root)))
        table = ParquetReader(path, ())
        has_tasks = "tasks" in table.names
        if len(table) > EPISODE_LIMIT:
            raise CorpusError(f"has more than {EPISODE_LIMIT} episodes", str(path), "split the set")
        table = ParquetReader(path, [*found, *(["tasks"] if has_tasks else [])])
        for batch in table.batches(8 * len(found)):
            for name, parts in found.items():
                parts.append(_column(batch, name, path, whole=name not in starts))
            tasks += [batch.column("tasks")] if has_tasks else []
    columns = {name: np.concatenate(parts) for name, parts in found.items()}
    _require_sound(columns, folder)
    films = {}
    for camera in cameras:
        start = columns[f"videos/{camera}/from_timestamp"]
        if not (np.isfinite(start) & (start >= 0)).all():
            raise CorpusError(f"has from_timestamp of {camera} below 0", str(folder), HINT)
        films[camera] = (_places(columns, f"videos/{camera}"), start)
    known = sum(map(len, tasks)) == len(columns["length"])
    places = _places(columns, "data")
    return Episodes(columns["length"], places, films, tuple(tasks) if known else ())


def _require_sound(columns: Mapping[str, np.ndarray], folder: Path) -> None:
    index, length = columns["episode_index"], columns["length"]
    odd = np.flatnonzero(index != np.arange(len(index)))
    if len(odd):
        what = f"has episode {index[odd[0]]} in the place of {odd[0]}"
        raise CorpusError(what, str(folder), HINT)
    if not len(length) or (length < 1).any() or length.max() > 1 << 40:
        raise CorpusError("has no episodes, or some of impossible lengths", str(folder), HINT)
    for name, column in columns.items():
        if name.endswith("_index") and (column < 0).any():
            raise CorpusError(f"has {name} below 0", str(folder), HINT)


def _column(batch: Any, name: str, path: Path, whole: bool) -> np.ndarray:
    where = f"{path}: {name}"
    rows, there = from_column(batch.column(name), 1, where)
    if not there.all() or (whole and rows.dtype.kind not in "iu"):
        raise CorpusError("is not all numbers", where, HINT)
    return rows[:, 0].astype(np.int64 if whole else np.float64)


def _places(columns: Mapping[str, np.ndarray], folder: str) -> np.ndarray:
    return np.stack([columns[f"{folder}/{kind}_index"] for kind in ("chunk", "file")], 1)
