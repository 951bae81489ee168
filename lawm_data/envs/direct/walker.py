"""The planar walker: stand, walk, run."""

from __future__ import annotations

from math import exp
from typing import ClassVar

import numpy as np

from lawm_data.envs.direct._body import (
    Body,
    MjModel,
    Path,
    each,
    gaussian_exponent,
    linear,
    numbers,
)

STAND_HEIGHT = 1.2
_STANDING = gaussian_exponent(margin=STAND_HEIGHT / 2)


class Walker(Body):
    """Observes the orientation of each part, the torso's height and the velocities."""

    placed = ("xmat", "xpos")
    speed: ClassVar[float]
    """Horizontal speed to reach; 0 rewards standing alone."""

    def __init__(self, model: MjModel, substeps: int, action: np.ndarray, row: np.ndarray) -> None:
        super().__init__(model, substeps, action, row)
        data, parts, physics = self.data, model.nbody - 1, model.nq + model.nv
        height = physics + 2 * parts
        # xx and xz of every rotation matrix but the world's.
        self._orientations = data.xmat[1:, 0:3:2]
        self._row_orientations = row[physics:height].reshape(parts, 2)
        self._row_height = numbers(row[height : height + 1])
        self._row_velocity = numbers(row[height + 1 :])
        self._torso = torso = model.body("torso").id
        self._torso_height = numbers(data.xpos[torso, 2:])
        self._torso_upright = numbers(data.xmat[torso, 8:])
        self._velocity = model.sensor("torso_subtreelinvel").adr[0]
        self._torso_speed = numbers(data.sensordata[self._velocity :])

    @staticmethod
    def layout(model: MjModel) -> tuple[int, int]:
        """See ``Body.layout``."""
        physics = model.nq + model.nv
        return physics + 2 * (model.nbody - 1) + 1 + model.nv, physics

    def observe(self) -> None:
        """See ``Body.observe``."""
        super().observe()
        self._row_orientations[...] = self._orientations
        self._row_height[0] = self._torso_height[0]
        self._row_velocity[:] = self._qvel

    def reward(self) -> float:
        """Upright and high enough; when moving, times how fast."""
        return self._reward(self._torso_height[0], self._torso_upright[0], self._torso_speed[0])

    def rows(self, path: Path) -> np.ndarray:
        """See ``Body.rows``."""
        orientations = path.placed["xmat"][:, 1:, 0:3:2].reshape(len(path.qpos), -1)
        height = path.placed["xpos"][:, self._torso, 2:]
        return np.concatenate([path.qpos, path.qvel, orientations, height, path.qvel], axis=1)

    def rewards(self, path: Path) -> np.ndarray:
        """See ``Body.rewards``."""
        height = path.placed["xpos"][:, self._torso, 2]
        upright = path.placed["xmat"][:, self._torso, 8]
        return each(self._reward, height, upright, path.sensors[:, self._velocity])

    def _reward(self, height: float, upright: float, speed: float) -> float:
        below = STAND_HEIGHT - height
        standing = exp(_STANDING * below * below) if below > 0 else 1.0
        stand = (3 * standing + (1 + upright) / 2) / 4
        if self.speed == 0:
            return stand
        move = linear(speed, self.speed, self.speed / 2, 0.5)
        return stand * (5 * move + 1) / 6


class Stand(Walker):
    """Keep the torso up."""

    speed = 0


class Walk(Walker):
    """And move at a walk."""

    speed = 1


class Run(Walker):
    """And move fast."""

    speed = 8


TASKS = {"stand": Stand, "walk": Walk, "run": Run}
