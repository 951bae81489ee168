"""The planar walker: stand, walk, run."""

from __future__ import annotations

from math import exp
from typing import ClassVar

import numpy as np

from lawm_data.envs.direct._body import Body, MjModel, gaussian_exponent, linear, numbers

STAND_HEIGHT = 1.2
_STANDING = gaussian_exponent(margin=STAND_HEIGHT / 2)


class Walker(Body):
    """Observes the orientation of each part, the torso's height and the velocities."""

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
        torso = model.body("torso").id
        self._torso_height = numbers(data.xpos[torso, 2:])
        self._torso_upright = numbers(data.xmat[torso, 8:])
        velocity = model.sensor("torso_subtreelinvel").adr[0]
        self._torso_speed = numbers(data.sensordata[velocity:])

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
        below = STAND_HEIGHT - self._torso_height[0]
        standing = exp(_STANDING * below * below) if below > 0 else 1.0
        upright = (1 + self._torso_upright[0]) / 2
        stand = (3 * standing + upright) / 4
        if self.speed == 0:
            return stand
        move = linear(self._torso_speed[0], self.speed, self.speed / 2, 0.5)
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
