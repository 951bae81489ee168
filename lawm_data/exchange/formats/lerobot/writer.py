"""A view as a LeRobot v3.0 set, written in one pass; an mp4 file holds many episodes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import Manifest

from lawm_data.corpus.latents import CODE, KNOWN, LATENT
from lawm_data.exchange.formats._protocol import Episode, Outgoing
from lawm_data.exchange.formats.lerobot import features as names
from lawm_data.exchange.formats.lerobot.features import Feature
from lawm_data.exchange.formats.lerobot.parquet import (
    CHUNK_FILES,
    DATA_MB,
    DATA_PATH,
    EPISODES_PATH,
    VIDEO_MB,
    VIDEO_PATH,
    FileIndex,
    ParquetFiles,
    frame_schema,
    pictures,
    pyarrow,
    to_column,
    write_tasks,
)
from lawm_data.exchange.formats.lerobot.sidecar import SidecarWriter
from lawm_data.exchange.formats.lerobot.stats import (
    NAMES,
    Stats,
    Total,
    levels_of,
    of_all,
    of_nothing,
    of_numbers,
)
from lawm_data.exchange.formats.lerobot.tasks import starts_of, tasks_of
from lawm_data.inspection.statistics import action_blocks
from lawm_data.system.atomic import write_file
from lawm_data.system.images import encode_png
from lawm_data.system.video import Film

UNNAMED_TASK = "no task was recorded"
EPISODES_AT_ONCE = 64
"""Rows of the table of episodes that are kept in memory."""


class SetWriter:
    """A LeRobot set in the making.

    Args:
        outgoing: the view.
        root: folder of the set; made here.
        fps: frames per second that ``timestamp`` counts in.
        videos: pictures go into mp4 files where these can hold them.
    """

    def __init__(self, outgoing: Outgoing, root: Path, fps: float, videos: bool) -> None:
        manifest = outgoing.view.manifest
        self._root, self._fps, self._action = root, fps, manifest.action
        self._inferred = outgoing.view.overlay is not None
        self._latents = outgoing.view.latents
        self.features = names.features_of(manifest.observations, videos)
        known = _known(manifest)
        elements = known.get("names")
        elements = elements if isinstance(elements, Mapping) else {}
        self._info = names.info_features(
            self.features, self._action, self._inferred, self._latents, fps, elements
        )
        (root / "meta").mkdir(parents=True)
        self._frames = ParquetFiles(root, DATA_PATH, frame_schema(names.arrow_types(self._info)))
        self._episodes = ParquetFiles(root, EPISODES_PATH, self._episode_schema())
        self._films = {f.name: FilmWriter(root, f.name, fps) for f in self._videos}
        self._sidecar = SidecarWriter(root, outgoing, self.features, videos)
        environment = manifest.environment
        self._task = environment.task if environment else UNNAMED_TASK
        self._tasks: dict[str, int] = {}
        self._robot = known.get("robot_type") or (environment.suite if environment else None)
        self._nothing = of_nothing(_observed_actions(outgoing), self._action.size)
        self._total = Total()
        self._rows: list[dict[str, Any]] = []
        self._splits: list[tuple[str, ...]] = []
        self.notes = _disagreements(manifest)
        """What ``info.json`` cannot say, one sentence each; complete after ``close``."""
        self._index = self._count = 0

    def add(self, episode: Episode) -> None:
        """Write an episode."""
        length = len(episode.rewards)
        index = self._frames.settle()
        arrays = {name: array[:-1] for name, array in episode.observations.items()}
        starts = starts_of(episode.metadata)
        tasks = tasks_of(episode.metadata, starts, self._task)
        self._splits.append(_splits(episode.metadata))
        numbers = [self._tasks.setdefault(task, len(self._tasks)) for task in tasks]
        task = np.full(length, numbers[0])
        for start, name in starts:
            task[start:] = self._tasks[name]
        columns, stats = self._numbers(episode, arrays, task)
        row: dict[str, Any] = {
            "episode_index": self._count,
            "tasks": tasks,
            "length": length,
            **_file_columns("data", index),
            "dataset_from_index": self._index,
            "dataset_to_index": self._index + length,
        }
        for feature in self.features:
            if feature.storage == "numbers":
                continue
            frames = arrays[feature.arrays[0].name]
            levels = levels_of(frames)
            self._total.add_levels(feature.name, levels)
            row |= _stats_columns(feature.name, levels.stats())
            if feature.storage == "image":
                columns[feature.name] = pictures([encode_png(frame) for frame in frames])
            else:
                key, span = feature.name, self._films[feature.name].add(frames)
                row |= _file_columns(f"videos/{key}", span.file)
                row[f"videos/{key}/from_timestamp"] = span.start
                row[f"videos/{key}/to_timestamp"] = span.end
        self._frames.add(columns)
        self._sidecar.add(episode)
        self._index, self._count = self._index + length, self._count + 1
        for key, values in stats.items():
            self._total.add(key, values)
            row |= _stats_columns(key, values)
        self._rows.append(row)
        if len(self._rows) >= EPISODES_AT_ONCE:
            self._flush()

    def close(self) -> None:
        """Write what stands at the end: tables, totals and the description of the set."""
        self._flush()
        for writer in (self._frames, self._episodes, *self._films.values(), self._sidecar):
            writer.close()
        write_tasks(self._root, list(self._tasks))
        spans, scattered = _spans(self._splits)
        if scattered:
            what = "its episodes do" if len(scattered) == 1 else "their episodes do"
            self.notes.append(
                f"split {', '.join(scattered)}: {what} not stand together, so that info.json "
                "cannot name them, and only the metadata does; to bring them together, filter "
                "each split out and merge the parts"
            )
        info = {
            "codebase_version": names.VERSION,
            "robot_type": self._robot,
            "total_episodes": self._count,
            "total_frames": self._index,
            "total_tasks": len(self._tasks),
            "chunks_size": CHUNK_FILES,
            "data_files_size_in_mb": DATA_MB,
            "video_files_size_in_mb": VIDEO_MB,
            "fps": self._fps,
            "splits": spans,
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if self._films else None,
            "features": self._info,
        }
        for name, content in (("stats", self._total.merged(self._frames.paths)), ("info", info)):
            text = json.dumps(content, indent=4, allow_nan=False)
            write_file(self._root / "meta" / f"{name}.json", text.encode())

    def abandon(self) -> None:
        """Stop the programs that write films."""
        for film in self._films.values():
            film.abandon()

    @property
    def _videos(self) -> list[Feature]:
        return [feature for feature in self.features if feature.storage == "video"]

    def _numbers(
        self, episode: Episode, arrays: Mapping[str, np.ndarray], task: np.ndarray
    ) -> tuple[dict[str, Any], dict[str, Stats]]:
        """All columns of an episode but pictures, and their statistics."""
        length = len(episode.rewards)
        observed = np.zeros(length, bool)
        if episode.actions is not None:
            observed[:] = True if episode.action_observed is None else episode.action_observed
        last = np.arange(length) == length - 1
        rows = {
            feature.name: names.joined(feature, arrays).astype(feature.dtype)
            for feature in self.features
            if feature.storage == "numbers"
        }
        rows |= {
            names.REWARD: episode.rewards,
            names.DONE: last & (episode.terminated or episode.truncated),
            names.TERMINATED: last & episode.terminated,
            names.TRUNCATED: last & episode.truncated,
            names.OBSERVED: observed,
            "timestamp": (np.arange(length) / self._fps).astype(np.float32),
            "frame_index": np.arange(length),
            "episode_index": np.full(length, self._count),
            "index": self._index + np.arange(length),
            names.TASK: task,
        }
        # LeRobot wants numbers in every frame, and NaN would spoil the statistics that its tools
        # compute: recorded actions, else inferred ones, else zeros; OBSERVED tells them apart
        actions = np.zeros((length, self._action.size), self._action.dtype)
        if episode.actions is not None:
            actions[observed] = episode.actions.reshape(actions.shape)[observed]
        elif episode.inferred is not None and actions.dtype.kind == "f":
            actions[:] = episode.inferred[0]
        if self._inferred:
            zero = np.zeros(actions.shape, np.float32)
            mean, std = episode.inferred or (zero, zero)
            rows |= {names.MEAN: mean.astype(np.float32), names.STD: std.astype(np.float32)}
        latents = episode.latents
        if latents is not None:
            rows |= {LATENT: latents.filled(length), KNOWN: latents.known(length)}
            if latents.codes is not None:
                rows[CODE] = latents.filled_codes(length).astype(np.int64)
        stats = of_all({name: array.reshape(length, -1) for name, array in rows.items()})
        stats[names.ACTION] = self._nothing
        if observed.any():
            stats[names.ACTION] = of_numbers(actions[observed])
        if self._inferred and episode.inferred is None:  # the zeros in their place count nothing
            stats |= dict.fromkeys((names.MEAN, names.STD), of_nothing((), self._action.size))
        if latents is not None:  # likewise
            known = {LATENT: latents.values, CODE: latents.codes}
            for name, values in known.items():
                if values is not None:
                    width = self._info[name]["shape"][0]
                    there = values.reshape(len(values), width)
                    stats[name] = of_numbers(there) if len(there) else of_nothing((), width)
        columns = {name: to_column(array) for name, array in rows.items()}
        columns[names.ACTION] = to_column(actions)
        rest = episode.labels.value if episode.labels and not observed.any() else "missing"
        states = np.where(observed, "observed", rest)
        same = (states == states[0]).all()
        pa = pyarrow()
        columns[names.LABELS] = pa.repeat(states[0], length) if same else pa.array(states.tolist())
        return columns, stats

    def _flush(self) -> None:
        index = _file_columns("meta/episodes", self._episodes.settle())
        self._episodes.add_rows([row | index for row in self._rows])
        self._rows = []

    def _episode_schema(self) -> Any:
        pa = pyarrow()
        whole, numbers = pa.int64(), pa.list_(pa.float64())
        counted = ["episode_index", "length", "dataset_from_index", "dataset_to_index"]
        fields = [(name, whole) for name in counted] + [("tasks", pa.list_(pa.string()))]
        folders = ["data", "meta/episodes", *(f"videos/{f.name}" for f in self._videos)]
        fields += [(f"{f}/{kind}_index", whole) for f in folders for kind in ("chunk", "file")]
        for feature in self._videos:
            start = f"videos/{feature.name}"
            fields += [(f"{start}/{end}_timestamp", pa.float64()) for end in ("from", "to")]
        for name, feature in self._info.items():
            deep = (
                pa.list_(pa.list_(numbers)) if feature["dtype"] in ("image", "video") else numbers
            )
            if feature["dtype"] != "string":
                kinds = {key: deep for key in NAMES} | {"count": pa.list_(whole)}
                fields += [(f"stats/{name}/{key}", kind) for key, kind in kinds.items()]
        return pa.schema(fields)


def _known(manifest: Manifest) -> Mapping[str, Any]:
    """What the sources of the corpus say of themselves, as far as all say the same."""
    first, *others = [source.settings for source in manifest.provenance]
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}


def _disagreements(manifest: Manifest) -> list[str]:
    """What is left out because the sources of a corpus say different things of themselves."""
    said, notes = [source.settings for source in manifest.provenance], []
    robots = list(dict.fromkeys(str(settings.get("robot_type", "none")) for settings in said))
    if len(robots) > 1:
        notes.append(f"the sources have several robots, {', '.join(robots)}: robot_type names none")
    if any(settings.get("names") != said[0].get("names") for settings in said):
        notes.append("the sources call their joints different names, which are left out")
    return notes


def _splits(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The splits that an import found a trajectory in; robomimic's filter keys are its splits."""
    for key in ("splits", "split", "filter_keys"):
        found = metadata.get(key)
        found = [found] if isinstance(found, str) else found
        if isinstance(found, list) and found:
            return tuple(dict.fromkeys(name for name in found if isinstance(name, str)))
    return ()


def _spans(splits: Sequence[tuple[str, ...]]) -> tuple[dict[str, str], list[str]]:
    """``splits`` of ``info.json``, and those that it cannot name: each is one run of episodes.

    Only where no episode has a split are all of them ``train``.

    Args:
        splits: those of each episode.
    """
    found: dict[str, list[int]] = {}
    for i, names_of in enumerate(splits):
        for name in names_of:
            found.setdefault(name, []).append(i)
    if not found:
        return {"train": f"0:{len(splits)}"}, []
    runs = {name: at for name, at in found.items() if at[-1] - at[0] + 1 == len(at)}
    spans = {name: f"{at[0]}:{at[-1] + 1}" for name, at in runs.items()}
    return spans, [name for name in found if name not in runs]


def _file_columns(folder: str, index: FileIndex) -> dict[str, int]:
    return {f"{folder}/chunk_index": index.chunk, f"{folder}/file_index": index.file}


def _stats_columns(feature: str, stats: Stats) -> dict[str, list]:
    return {f"stats/{feature}/{name}": value.tolist() for name, value in stats.items()}


def _observed_actions(outgoing: Outgoing) -> Iterator[np.ndarray]:
    for block in action_blocks(outgoing.view):
        yield block
        for shard in outgoing.view.shards:
            shard.release_memory()


class Span(NamedTuple):
    """Where the frames of an episode are."""

    file: FileIndex
    start: float
    """Seconds from the beginning of the file."""
    end: float


class FilmWriter:
    """The camera ``key`` of a set in the making."""

    def __init__(self, root: Path, key: str, fps: float) -> None:
        self._root, self._key, self._fps = root, key, fps
        self._index: FileIndex | None = None
        self._path = root
        self._film: Film | None = None
        self._frames = 0

    def add(self, pictures: np.ndarray) -> Span:
        """Append the frames of an episode, (n, h, w, 3) uint8.

        Raises:
            StorageError: ffmpeg stopped.
        """
        # ffmpeg may not have made the file yet
        size = self._path.stat().st_size if self._film and self._path.exists() else 0
        if self._film is None or self._index is None or size >= VIDEO_MB << 20:
            self.close()
            self._index = FileIndex(0, 0) if self._index is None else self._index.next()
            self._path = self._index.path(self._root, VIDEO_PATH, video_key=self._key)
            height, width = pictures.shape[1:3]
            # a key frame every second frame, as LeRobot has it: readers jump to single frames
            self._film = Film(self._path, height, width, self._fps, ("-g", "2", "-bf", "0"))
            self._frames = 0
        first = self._frames
        for picture in pictures:
            self._film.add(picture)
        self._frames += len(pictures)
        return Span(self._index, first / self._fps, self._frames / self._fps)

    def close(self) -> None:
        """End the last file.

        Raises:
            StorageError: ffmpeg could not.
        """
        if self._film is not None:
            self._film.close()

    def abandon(self) -> None:
        """Stop writing, if that has not ended."""
        if self._film is not None:
            self._film.abandon()
