"""Videos that nobody recorded actions for: every file, or folder of pictures, is a trajectory.

``video:FOLDER`` is read recursively, in natural order (``take 2`` before ``take 10``). Frames are
resampled in time and shrunk, actions are missing, and rewards, which a corpus needs, are zero. A
video may be cut into clips, and each of them into squares at several places of the picture.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LabelState, Provenance, Role

from lawm_data.corpus.corpus import open_corpus
from lawm_data.corpus.rate import FPS
from lawm_data.corpus.table import NO_REWARDS
from lawm_data.exchange.formats import _settings
from lawm_data.exchange.formats._protocol import About, Episode, Incoming
from lawm_data.exchange.untrusted.arrays import natural
from lawm_data.system.images import decode, pillow, resize
from lawm_data.system.video import DEMUXERS, ffmpeg, frames

ABOUT = About(
    title="Videos and folders of pictures, without actions",
    place="FOLDER",
    extra="video",
    reads=True,
    writes=False,
    label_states=(LabelState.missing,),
    partial=False,
    arrays="all",
    alignment="a_t leaves o_t",
    final_observation=True,
    ends="none",
    pixels="lossy",
    metadata=False,
    streaming=True,
    settings={
        "fps": "frames per second of the corpus (15)",
        "size": "edge of its square pictures (64)",
        "actions": "how many numbers an action would have (1)",
        "camera": "what they are called (pixels); with like, which of its cameras they are like",
        "without": "files or folders that are left out, such as one that cannot be read",
        "clip": "seconds of a trajectory, into which each video is cut; the whole if not given",
        "crops": "squares that are cut out of each, each a trajectory; the whole picture if 0 (0)",
        "crop_size": "edge of those, in pixels of the video (size)",
        "like": "a corpus whose camera and actions are matched, instead of size and actions",
    },
)
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Suffixes of pictures; all those in one folder make one trajectory."""
MEMORY_LIMIT = 1 << 29
"""Bytes of one trajectory, which is held in memory as a whole."""
CHANNELS = 3


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """List the videos of a folder; each is decoded when it is reached.

    Raises:
        ConfigError: a setting makes no sense, or a package is missing.
        CorpusError: there is no such folder, or no video in it.
    """
    fps = _settings.rate(settings, "fps", 15)
    size = _settings.whole(settings, "size", 1, 1024, 64)
    width = _settings.whole(settings, "actions", 1, 10_000, 1)
    if "like" in settings:
        pixels, action = _like(settings)
    else:
        camera = {"name": settings.get("camera", "pixels"), "shape": (size, size, CHANNELS)}
        pixels = ArraySpec.parse({**camera, "dtype": "uint8", "role": Role.pixels}, "camera")
        action = ArraySpec(name="action", shape=(width,), role=Role.action)
    root = Path(place)
    if not root.is_dir():
        raise CorpusError("is no folder", place, "give the folder that the videos are in")
    takes, skipped = _takes_below(root)
    if not takes:
        known = ", ".join((*DEMUXERS, *PICTURES))
        raise CorpusError("holds no videos", place, f"files that are read: {known}")
    without = _settings.listed(settings, "without")
    takes = {name: takes[name] for name in _settings.kept(without, list(takes), "video")}
    ffmpeg()
    pillow()
    height, width = pixels.shape[:2]
    untimed = "fps" not in settings and any(isinstance(take, list) for take in takes.values())
    cut = _cut(settings, fps, untimed, height)
    first = next(iter(takes.values()))
    deep = isinstance(first, list) and decode(first[0], CHANNELS, str(first[0])).dtype == np.uint16
    if deep and "like" not in settings:
        shape = (height, width, 1)
        pixels = pixels.model_copy(update={"shape": shape, "dtype": "uint16"})
    notes = [
        "a video has no actions: they are missing, and their shape is a setting",
        "a video has no rewards: they are zero, and metadata says rewards: none",
        f"frames were resampled to {fps:g} a second and resized to {height} x {width}, "
        + (f"{cut.crops} squares of {cut.edge} cut out" if cut.crops else "the whole picture")
        + " squeezed into that",
    ]
    if cut.steps is not None:
        notes.append(f"clips have {cut.steps} steps; the last frame of one is the next one's first")
    if any(isinstance(take, list) for take in takes.values()):
        notes.append("pictures in a folder have no times: each is one frame")
    if skipped:
        kinds = ", ".join(sorted(set(skipped)))
        notes.append(f"{len(skipped)} other files were left out ({kinds})")
    notes += [f"left out: {', '.join(without)}"] if without else []
    name = root.resolve().name
    return Incoming(
        observations=(pixels,),
        action=action,
        trajectories=_trajectories(takes, fps, "fps" in settings, cut, pixels, f"video:{name}"),
        count=None if cut.steps else len(takes) * max(1, cut.crops),
        name=name,
        files=tuple(chain.from_iterable(t if isinstance(t, list) else [t] for t in takes.values())),
        notes=notes,
    )


Takes = dict[str, Path | list[Path]]
"""Videos, and the pictures of folders, by their name in the folder that is read."""


def _like(settings: Mapping[str, Any]) -> tuple[ArraySpec, ArraySpec]:
    """A camera of another corpus, and its action."""
    if {"size", "actions"} & set(settings):
        raise ConfigError("is given along with size or actions", "like", "leave those out")
    place, wanted = str(settings["like"]), settings.get("camera")
    manifest = open_corpus(place).manifest
    pixels = [spec for spec in manifest.observations if spec.role is Role.pixels]
    found = [spec for spec in pixels if spec.shape[2] == CHANNELS and wanted in (None, spec.name)]
    if len(found) != 1:
        there = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in pixels)
        hint = (
            f"choose with --set camera=NAME; there are {there}"
            if there
            else "give one that has them"
        )
        what = f"has {len(found)} colour cameras" + (f" {wanted!r}" if wanted is not None else "")
        raise ConfigError(what, place, hint)
    return found[0], manifest.action


def _takes_below(root: Path) -> tuple[Takes, list[str]]:
    """What there is, in natural order of the names, and the kind of every other file."""
    found: Takes = {}
    skipped: list[str] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here, pictures = Path(folder), []
        for name in files:
            path, kind = here / name, Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if kind not in (*DEMUXERS, *PICTURES):
                skipped.append(kind or name)
                continue
            if not path.is_file():
                raise CorpusError("is no regular file", str(path), "remove it")
            if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
                raise CorpusError("is a link that leads outside", str(path), "copy the file itself")
            if kind in DEMUXERS:
                found[str(path.relative_to(root))] = path
            else:
                pictures.append(path)
        if pictures:
            take = str(here.relative_to(root)) if here != root else root.resolve().name
            found[take] = sorted(pictures, key=lambda path: natural(path.name))
    return dict(sorted(found.items(), key=lambda item: natural(item[0]))), skipped


class Cut(NamedTuple):
    """How a video becomes trajectories."""

    steps: int | None
    """Of a clip; None for all of the video."""
    crops: int
    """Squares that are cut out of a clip; 0 for the whole picture."""
    edge: int
    """Of those, in pixels of the video."""

    def places(self, name: str, clip: int, shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
        """Rows and columns of each crop: always the same ones of a clip, others of another."""
        if not self.crops:
            return [(slice(None), slice(None))]
        seed = hashlib.sha256(f"{name} {clip}".encode()).digest()
        draws, room = np.random.default_rng(list(seed)), np.subtract(shape[:2], self.edge) + 1
        corners = draws.integers(0, room, (self.crops, 2)).tolist()
        return [(slice(y, y + self.edge), slice(x, x + self.edge)) for y, x in corners]


def _cut(settings: Mapping[str, Any], fps: float, untimed: bool, size: int) -> Cut:
    """What the settings say of it.

    Raises:
        ConfigError: one makes no sense, or seconds are asked for of pictures without times.
    """
    crops = _settings.whole(settings, "crops", 0, 1000, 0)
    if "crop_size" in settings and not crops:
        raise ConfigError("is the edge of crops", "crop_size", "give crops, how many, too")
    edge = _settings.whole(settings, "crop_size", 1, 1 << 14, size)
    if "clip" not in settings:
        return Cut(None, crops, edge)
    steps = round(_settings.rate(settings, "clip", 1) * fps)
    if steps < 1:
        hint = f"give {1 / fps:.3g} seconds or more, or a higher fps"
        raise ConfigError("is shorter than a step", "clip", hint)
    if untimed:
        raise ConfigError("is in seconds, and pictures have no times", "clip", "give fps, too")
    return Cut(steps, crops, edge)


def _trajectories(
    takes: Takes, fps: float, given: bool, cut: Cut, pixels: ArraySpec, source: str
) -> Iterator[Episode]:
    """Decode one after the other; pictures are as far apart as the user says, if anybody does."""
    timed = Provenance(source=source, origin="import", settings={FPS: fps})
    untimed = timed if given else Provenance(source=source, origin="import")
    for name, take in takes.items():
        if isinstance(take, list):
            path, pictures = take[0].parent, (decode(path, CHANNELS, str(path)) for path in take)
        else:
            path, pictures = take, frames(take, fps)
        first = list(islice(pictures, 2))
        if len(first) < 2:
            raise _too_short(name, take, len(first), fps, others=len(takes) > 1)
        pictures = chain(first, pictures)
        provenance = untimed if isinstance(take, list) else timed
        for observed, more in _clips(name, path, pictures, cut, pixels):
            yield Episode(
                observations={pixels.name: observed},
                rewards=np.zeros(len(observed) - 1, np.float32),
                provenance=provenance,
                metadata={"file": name, **more, **NO_REWARDS},
            )


def _too_short(
    name: str, take: Path | list[Path], count: int, fps: float, others: bool
) -> CorpusError:
    """The error of a video with less than a step, ``count`` pictures of it at ``fps``."""
    if isinstance(take, list):
        path, found, ways = take[0].parent, "1 picture", ["add more of them"]
    else:
        path, rate, ways = take, "", []
        stored = len(list(islice(frames(take), 2)))
        if stored < 2:
            count = stored  # resampling may leave nothing of the only frame
        else:
            rate, ways = f" at {fps:g} a second", ["read it with a higher fps"]
        found = f"{count} frame{'' if count == 1 else 's'}{rate}"
    if others:
        # names are given in a row, with commas between them
        named = _settings.listed({"without": name}, "without") == [name]
        leave = f"leave it out with --without {shlex.quote(name)}"
        ways.append(leave if named else "move it out of the folder")
    hint = ", or ".join(ways) or "give one of two frames or more"
    return CorpusError(f"has {found}, and a step needs two", str(path), hint)


def _clips(
    name: str, path: Path, pictures: Iterator[np.ndarray], cut: Cut, pixels: ArraySpec
) -> Iterator[tuple[np.ndarray, dict[str, int]]]:
    """The pictures of every clip and crop of a video, and which it is, for the metadata.

    No step is lost between two clips: the last picture of one is the first of the next.
    """
    height, width = pixels.shape[:2]
    most = MEMORY_LIMIT // pixels.size // max(1, cut.crops)
    clip, shape, before = 0, None, None
    places: list[tuple[slice, slice]] = []
    crops: list[list[np.ndarray]] = []

    def made() -> Iterator[tuple[np.ndarray, dict[str, int]]]:
        for number, ((rows, columns), crop) in enumerate(zip(places, crops, strict=True)):
            more = {} if cut.steps is None else {"clip": clip}
            if cut.crops:
                more |= {"crop": number, "top": rows.start, "left": columns.start}
            yield np.stack(crop), more

    for count, picture in enumerate(pictures):
        shape = picture.shape if shape is None else shape
        _require_same(picture, count, shape, cut, pixels, path)
        if not crops or len(crops[0]) - 1 == cut.steps:
            if crops:
                yield from made()
                clip += 1
            places = cut.places(name, clip, shape)
            crops = [[] if before is None else [resize(before[at], height, width)] for at in places]
        if len(crops[0]) == most:
            hint = "cut it into parts (clip)"
            raise CorpusError(f"has more than {most} frames", str(path), hint)
        for crop, at in zip(crops, places, strict=True):
            crop.append(resize(picture[at], height, width))
        before = picture
    yield from made()


def _require_same(
    picture: np.ndarray,
    number: int,
    shape: tuple[int, ...],
    cut: Cut,
    pixels: ArraySpec,
    path: Path,
) -> None:
    """Refuse a picture that is not as the others of its video are, or too small to cut."""
    if picture.dtype != np.dtype(pixels.dtype):
        bits = 16 if picture.dtype == np.uint16 else 8
        what = f"has a picture of {bits} bits (number {number}), and the others not"
        raise CorpusError(what, str(path), "import depth and colour apart")
    if not cut.crops:
        return
    if picture.shape[:2] != shape[:2]:
        what = f"has pictures of several sizes (number {number}), and crops need one"
        raise CorpusError(what, str(path), "import it without crops")
    if min(shape[:2]) < cut.edge:
        what = f"has pictures of {shape[0]} x {shape[1]}, smaller than a crop of {cut.edge}"
        raise CorpusError(what, str(path), "give a smaller crop_size")
