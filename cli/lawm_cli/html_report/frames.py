"""Pictures of trajectories: the recorded pixels, or drawn from the recorded physics state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from lawm_schemas import ConfigError, Role

from lawm_data import Corpus, Trajectory

HEIGHT, WIDTH = 180, 240
"""Size of a drawn picture."""

Frames = Callable[[Trajectory, np.ndarray], Iterator[np.ndarray]]
"""Pictures (height, width, 3) uint8 of a trajectory at the given rows, 0 to T."""


def frame_source(corpus: Corpus) -> Frames:
    """What gives the pictures of a corpus's trajectories.

    Raises:
        ConfigError: neither pixels nor a physics state of a known environment are recorded.
    """
    cameras = [spec for spec in corpus.manifest.observations if spec.role is Role.pixels]
    for camera in cameras:
        if camera.shape[2] == 3:
            return lambda trajectory, rows: iter(trajectory.observations[camera.name][rows])
    environment = corpus.manifest.environment
    physics = any(spec.role is Role.physics for spec in corpus.manifest.observations)
    if not physics or environment is None or environment.suite != "dm_control":
        what = "neither pixels nor the physics state of a known environment are recorded"
        raise ConfigError(what, str(corpus.path), "collect with this package")
    return _drawn(environment.task)


def _drawn(task: str) -> Frames:
    from lawm_data.envs import _suite

    loaded: list[Any] = []

    def draw(trajectory: Trajectory, rows: np.ndarray) -> Iterator[np.ndarray]:
        assert trajectory.physics is not None
        if not loaded:
            loaded.append(_suite.load(task))
            size = len(loaded[0].physics.get_state())
            if trajectory.physics.shape[1] != size:
                what = f"its physics state has {trajectory.physics.shape[1]} numbers, not {size}"
                raise ConfigError(what, task, "use the package versions of its provenance")
        for state in trajectory.physics[rows]:
            with loaded[0].physics.reset_context():
                loaded[0].physics.set_state(state)
            yield _suite.render(loaded[0], task, HEIGHT, WIDTH)

    return draw
