"""What moves in pictures and is nobody's action: a film behind the body, discs that pass, noise.

Everything is a function of the seed, the trajectory and t, so that the same pictures can be made
again, in any order. What each distractor did is an array of the role ``exogenous``, which no model
reads and a probe may.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import sin, tau
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Drawing, Role

from lawm_data.system.atomic import sha256_file
from lawm_data.system.images import resize
from lawm_data.system.video import DEMUXERS, frames

FILM_BYTES = 1 << 30
"""Memory that a film may take, in the size that it is shown in."""
AGENTS = 3
"""Discs of a picture."""
_VIDEO, _AGENTS, _NOISE = range(3)
"""Purposes of random numbers."""


class Distractor(Protocol):
    """One kind of distractor."""

    array: ArraySpec
    """What it did at a step."""

    def at(self, trajectory: int, t: int) -> np.ndarray:
        """What it does at step t of a trajectory, as ``array`` says."""
        ...

    def paint(self, picture: np.ndarray, behind: np.ndarray, did: np.ndarray, key: Key) -> None:
        """Paint that into a picture.

        Args:
            picture: (h, w, 3) uint8.
            behind: (h, w) bool: what is behind the body, sky, floor and walls.
            did: what it does.
            key: of random numbers.
        """
        ...


class Key(NamedTuple):
    """A step of a trajectory."""

    trajectory: int
    t: int


class Video:
    """A film behind the body, from a frame and at a place that the trajectory decides.

    It covers the picture and is played forwards and backwards, so that it is never cut.
    ``video`` holds the frame, and the row and column of the film that are at the upper left.

    Args:
        path: the film.
        size: edge of the pictures.
        seed: of all distractors.
    """

    array = ArraySpec(name="video", shape=(3,), dtype="int32", role=Role.exogenous)

    def __init__(self, path: Path, size: int, seed: int) -> None:
        self._film, self._size, self._seed = _film(path, size), size, seed

    def at(self, trajectory: int, t: int) -> np.ndarray:
        """See ``Distractor.at``."""
        count, height, width = self._film.shape[:3]
        ends = (count, height - self._size + 1, width - self._size + 1)
        first, *place = _drawn_places((self._seed, trajectory, _VIDEO), ends)
        period = max(1, 2 * (count - 1))
        frame = (first + t) % period
        return np.array([min(frame, period - frame), *place], np.int32)

    def paint(self, picture: np.ndarray, behind: np.ndarray, did: np.ndarray, key: Key) -> None:
        """See ``Distractor.paint``."""
        frame, top, left = did.tolist()
        shown = self._film[frame, top : top + self._size, left : left + self._size]
        picture[behind] = shown[behind]


class Agents:
    """Discs that come in at an edge, wobble across behind the body, and leave; then others come.

    ``agents`` holds of each whether it is there, and the x and y of its centre: 0 and 1 are the
    left and right, or the upper and lower edge.

    Args:
        size: edge of the pictures.
        seed: of all distractors.
    """

    array = ArraySpec(name="agents", shape=(AGENTS, 3), role=Role.exogenous)

    def __init__(self, size: int, seed: int) -> None:
        self._seed = seed
        middle = (np.arange(size) + 0.5) / size
        self._x, self._y = middle[None, :], middle[:, None]

    def at(self, trajectory: int, t: int) -> np.ndarray:
        """See ``Distractor.at``."""
        did = np.zeros(self.array.shape, np.float32)
        for number in range(AGENTS):
            disc = _disc(self._seed, trajectory, number)
            turn, since = divmod(t + disc.phase, disc.cycle)
            passing = _passing(self._seed, trajectory, number, turn, disc.cycle)
            u = (since - passing.start) / passing.duration
            if 0 <= u < 1:
                along = (1 + 2 * disc.radius) * u - disc.radius
                across = passing.enters + (passing.leaves - passing.enters) * u
                across += passing.wobble * sin(tau * passing.waves * u)
                along = 1 - along if passing.side >= 2 else along
                did[number] = (1, along, across) if passing.side % 2 else (1, across, along)
        return did

    def paint(self, picture: np.ndarray, behind: np.ndarray, did: np.ndarray, key: Key) -> None:
        """See ``Distractor.paint``."""
        for number, (there, x, y) in enumerate(did.tolist()):
            if there:
                disc = _disc(self._seed, key.trajectory, number)
                inside = (self._x - x) ** 2 + (self._y - y) ** 2 < disc.radius**2
                picture[inside & behind] = disc.colour


class Noise:
    """White noise on everything, whose strength rises and falls.

    ``noise`` holds its standard deviation, of a scale of 255.

    Args:
        seed: of all distractors.
    """

    array = ArraySpec(name="noise", shape=(1,), role=Role.exogenous)

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def at(self, trajectory: int, t: int) -> np.ndarray:
        """See ``Distractor.at``."""
        period, phase = _drawn_places((self._seed, trajectory, _NOISE), (100, 1000))
        wave = sin(tau * (t / (50 + period) + phase / 1000))
        return np.array([15 + 10 * wave], np.float32)

    def paint(self, picture: np.ndarray, behind: np.ndarray, did: np.ndarray, key: Key) -> None:
        """See ``Distractor.paint``."""
        rng = np.random.default_rng((self._seed, key.trajectory, _NOISE, key.t))
        noise = rng.standard_normal(picture.shape, np.float32) * did
        np.copyto(picture, np.clip(picture + noise, 0, 255).astype(np.uint8))


class Distractors:
    """Those of a drawing.

    Args:
        drawing: names them.
        size: edge of the pictures.

    Raises:
        ConfigError: no such distractor, or one of them twice.
        CorpusError: a film cannot be read.
    """

    def __init__(self, drawing: Drawing | None, size: int) -> None:
        self._all: list[Distractor] = []
        self.drawing = drawing
        """As a corpus records it: of a film its name and its hash, and not where it lay."""
        asked = () if drawing is None else drawing.distractors
        for text in sorted(asked, key=_order):
            kind, _, place = text.partition(":")
            assert drawing is not None
            if kind == "video":
                found = sha256_file(Path(place)) if Path(place).is_file() else None
                if drawing.film not in (None, found):
                    what = "is not there" if found is None else "is another film than was drawn"
                    hint = f"put the film whose SHA-256 begins with {drawing.film[:12]} there"
                    if Path(place).name == place:  # as a corpus names it
                        hint = hint.replace(" there", " into the current folder")
                    raise ConfigError(what, text, hint)
                self._all.append(Video(Path(place), size, drawing.seed))
                names = [f"video:{Path(place).name}" if t == text else t for t in asked]
                update = {"distractors": tuple(names), "film": found}
                self.drawing = drawing.model_copy(update=update)
            elif kind == "agents":
                self._all.append(Agents(size, drawing.seed))
            else:
                self._all.append(Noise(drawing.seed))

    def __len__(self) -> int:
        return len(self._all)

    @property
    def arrays(self) -> tuple[ArraySpec, ...]:
        """What they did."""
        return tuple(one.array for one in self._all)

    def paint(
        self, picture: np.ndarray, behind: np.ndarray, trajectory: int, t: int
    ) -> dict[str, np.ndarray]:
        """Paint them into a picture; returns what they do, by the name of the array.

        Args:
            picture: (h, w, 3) uint8, written to.
            behind: (h, w) bool: what is behind the body.
            trajectory: which one; the seed of its reset.
            t: its step.
        """
        did = {}
        for one in self._all:
            did[one.array.name] = one.at(trajectory, t)
            one.paint(picture, behind, did[one.array.name], Key(trajectory, t))
        return did


def parse(texts: Sequence[str]) -> tuple[str, ...]:
    """Distractors as they are written: ``video:FILE``, ``agents``, ``noise``.

    Raises:
        ConfigError: no such distractor, one of them twice, or a film that is no file.
    """
    kinds = [text.partition(":")[0] for text in texts]
    for text, kind in zip(texts, kinds, strict=True):
        if text not in ("agents", "noise") and not text.partition("video:")[2]:
            hint = "give video:FILE, agents or noise"
            raise ConfigError("no such distractor", text or repr(text), hint)
        if kinds.count(kind) > 1:
            raise ConfigError("is given twice", f"--distractors {kind}", "give it once")
    return tuple(sorted(texts, key=_order))


def _order(text: str) -> int:
    """What is painted first is behind what is painted later."""
    return ("video", "agents", "noise").index(text.partition(":")[0])


@lru_cache(maxsize=4)
def _film(path: Path, size: int) -> np.ndarray:
    """(F, h, w, 3) uint8: a film so small that it just covers a square."""
    if not path.is_file():
        raise ConfigError("no such file", f"video:{path}", "give the path of a film")
    if path.suffix.lower() not in DEMUXERS:
        raise ConfigError("is no film", f"video:{path}", f"films end in {', '.join(DEMUXERS)}")
    shown: list[np.ndarray] = []
    for picture in frames(path):
        height, width = picture.shape[:2]
        scale = size / min(height, width)
        edges = (max(size, round(height * scale)), max(size, round(width * scale)))
        shown.append(resize(picture, *edges))
        if len(shown) * shown[0].size > FILM_BYTES:
            raise CorpusError("is too long to be kept in memory", str(path), "cut a piece of it")
    if not shown:
        raise CorpusError("has no frames", str(path), "give another film")
    return np.stack(shown)


@lru_cache(maxsize=1024)
def _drawn_places(key: tuple[int, ...], ends: tuple[int, ...]) -> tuple[int, ...]:
    """A random whole number below each end."""
    return tuple(np.random.default_rng(key).integers(0, ends).tolist())


class _Disc(NamedTuple):
    radius: float
    """1 is the edge of the picture."""
    colour: tuple[int, ...]
    phase: int
    """Steps of its first turn that were before the trajectory."""
    cycle: int
    """Steps of a turn, in which it passes once."""


class _Passing(NamedTuple):
    side: int
    """At which it enters: from the top, left, bottom or right."""
    start: int
    """Step of the turn at which it does."""
    duration: int
    enters: float
    leaves: float
    wobble: float
    waves: float


@lru_cache(maxsize=1024)
def _disc(seed: int, trajectory: int, number: int) -> _Disc:
    rng = np.random.default_rng((seed, trajectory, _AGENTS, number))
    cycle = int(rng.integers(60, 121))
    colour = tuple(rng.integers(60, 256, 3).tolist())
    return _Disc(float(rng.uniform(0.06, 0.14)), colour, int(rng.integers(cycle)), cycle)


@lru_cache(maxsize=4096)
def _passing(seed: int, trajectory: int, number: int, turn: int, cycle: int) -> _Passing:
    rng = np.random.default_rng((seed, trajectory, _AGENTS, number, turn))
    duration = int(rng.integers(25, 56))
    start = int(rng.integers(0, cycle - duration + 1))
    enters, leaves = rng.uniform(0.15, 0.85, 2).tolist()
    wobble, waves = float(rng.uniform(0, 0.1)), float(rng.uniform(0.5, 2))
    return _Passing(int(rng.integers(4)), start, duration, enters, leaves, wobble, waves)
