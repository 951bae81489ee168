"""The planar hopper: stand, hop."""

from __future__ import annotations

from math import log1p

import numpy as np

from lawm_data.envs.direct._body import Body, MjModel, linear, numbers, quadratic

STAND_HEIGHTS = (0.6, 2)
HOP_SPEED = 2


class Hopper(Body):
    """Observes positions without the horizontal one, velocities, and log-touch of toe and heel."""

    def __init__(self, model: MjModel, substeps: int, action: np.ndarray, row: np.ndarray) -> None:
        super().__init__(model, substeps, action, row)
        # Centres of mass, not the body frames.
        self._torso = numbers(self.data.xipos[model.body("torso").id])
        self._foot = numbers(self.data.xipos[model.body("foot").id])
        sensors = self.data.sensordata
        self._torso_speed = numbers(sensors[model.sensor("torso_subtreelinvel").adr[0] :])
        self._toe = numbers(sensors[model.sensor("touch_toe").adr[0] :])
        self._heel = numbers(sensors[model.sensor("touch_heel").adr[0] :])
        self._row_touch = numbers(row[model.nq + model.nv :])

    @staticmethod
    def layout(model: MjModel) -> tuple[int, int]:
        """See ``Body.layout``."""
        return model.nq + model.nv + 2, 1

    def observe(self) -> None:
        """See ``Body.observe``."""
        super().observe()
        self._row_touch[0] = log1p(self._toe[0])
        self._row_touch[1] = log1p(self._heel[0])

    def _stands(self) -> bool:
        """The torso is high enough over the foot."""
        low, high = STAND_HEIGHTS
        return low <= self._torso[2] - self._foot[2] <= high


class Stand(Hopper):
    """Stand, with small controls."""

    def reward(self) -> float:
        """Zero unless it stands; then at least 0.8, and 1 without control."""
        if not self._stands():
            return 0.0
        controls = self._control.tolist()
        return (sum(map(quadratic, controls)) / len(controls) + 4) / 5


class Hop(Hopper):
    """Stand and move forward."""

    def reward(self) -> float:
        """Horizontal speed, up to ``HOP_SPEED``, while it stands."""
        if not self._stands():
            return 0.0
        return linear(self._torso_speed[0], HOP_SPEED, HOP_SPEED / 2, 0.5)


TASKS = {"stand": Stand, "hop": Hop}
