"""Pictures of recorded trajectories, drawn from their physics states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from lawm_schemas import ConfigError, CorpusError, Role

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.physics import PIXELS, physics_hint
from lawm_data.corpus.rate import step_seconds
from lawm_data.envs.suites import LARGEST_SEED, Environments, make

SIZE = (320, 240)
"""Width and height of a picture, in pixels."""
ALL = slice(None)
"""Every state."""
STEP_SECONDS = 0.02
"""Time of a control step where the environment does not say."""


def frames(
    corpus: Corpus,
    trajectory: str | int,
    size: tuple[int, int] = SIZE,
    rows: slice | Sequence[int] | np.ndarray = ALL,
    camera: int | str | None = None,
) -> Iterator[np.ndarray]:
    """Draw the T+1 states of a trajectory, or some of them; actions are not needed.

    Recorded camera images are taken where no physics was recorded; size and camera are theirs.

    Args:
        corpus: any view.
        trajectory: id, or place in the view.
        size: width and height in pixels.
        rows: which states, as an index into the T+1.
        camera: number or name in the simulator's model; None takes the usual one.

    Returns:
        Pictures, (height, width, 3) uint8, drawn one by one as they are asked for.

    Raises:
        CorpusError: no such trajectory, or nothing was recorded that could be drawn.
        ConfigError: the environment cannot be made or drawn on this machine.
    """
    if min(size) < 1:
        raise ConfigError(f"size {size}", "render", "give numbers above 0")
    shown = corpus[place_of(corpus, trajectory)]
    if shown.physics is not None:
        envs = remake(corpus)
        envs.reset([reset_seed(shown.info.seed) or 0])
        return _drawn(envs, shown.physics[rows], size, camera)
    for spec in corpus.manifest.observations:
        if spec.role is Role.pixels and spec.shape[2] == 3 and spec.dtype == "uint8":
            return iter(shown.observations[spec.name][rows])
    what = "neither physics states nor camera images were recorded"
    imported = any(entry.origin == "import" for entry in corpus.manifest.provenance)
    hint = "import it with its pictures, if it has some"
    if not imported:
        hint = physics_hint(corpus, "draw from", PIXELS)
    raise CorpusError(what, str(corpus.path), hint)


def frame_rate(corpus: Corpus, every: int = 1) -> float:
    """Frames per second at which every n-th state is seen in real time."""
    seconds = step_seconds(corpus.manifest)
    if seconds is None:
        environment = corpus.manifest.environment
        seconds = STEP_SECONDS * (environment.action_repeat if environment else 1)
    return 1 / (seconds * every)


def place_of(corpus: Corpus, trajectory: str | int) -> int:
    """Place of a trajectory in a view, given its id or its place.

    Raises:
        CorpusError: there is none.
    """
    name = str(trajectory)
    found = np.flatnonzero(corpus.table.id == name)
    if len(found):
        return int(found[0])
    if name.isdecimal() and int(name) < len(corpus):
        return int(name)
    hint = f"give an id, or a place from 0 to {len(corpus) - 1}"
    raise CorpusError("is not in this view", f"{corpus.path}: trajectory {name}", hint)


def remake(corpus: Corpus, direct: bool | None = None) -> Environments:
    """One copy of the environment that a corpus was recorded in, without pixels.

    Args:
        corpus: names the environment.
        direct: see ``lawm_data.envs.suites.make``.

    Raises:
        ConfigError: the corpus names none, or it cannot be made here.
    """
    info = corpus.manifest.environment
    if info is None:
        hint = "only corpora of a known environment can be simulated"
        raise ConfigError("the corpus names no environment", str(corpus.path), hint)
    return make(info.task, suite=info.suite, action_repeat=info.action_repeat, direct=direct)


def reset_seed(seed: int | None) -> int | None:
    """The seed of a reset; None for one that no simulator takes, which is not the reset's then."""
    return None if seed is None or seed > LARGEST_SEED else seed


def _drawn(
    envs: Environments, states: np.ndarray, size: tuple[int, int], camera: int | str | None
) -> Iterator[np.ndarray]:
    width, height = size
    for state in states:
        envs.restore(0, state)
        yield envs.render(0, height, width, camera)
