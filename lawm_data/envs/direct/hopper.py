"""The planar hopper: stand, hop."""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p

import numpy as np

from lawm_data.envs.direct._body import Body, MjModel, Path, each, linear, numbers, quadratic

STAND_HEIGHTS = (0.6, 2)
HOP_SPEED = 2


class Hopper(Body):
    """Observes positions without the horizontal one, velocities, and log-touch of toe and heel."""

    placed = ("xipos",)  # centres of mass, not the body frames

    def __init__(self, model: MjModel, substeps: int, action: np.ndarray, row: np.ndarray) -> None:
        super().__init__(model, substeps, action, row)
        self._parts = [model.body(name).id for name in ("torso", "foot")]
        self._torso, self._foot = (numbers(self.data.xipos[part]) for part in self._parts)
        names = ("torso_subtreelinvel", "touch_toe", "touch_heel")
        self._sensors = [model.sensor(name).adr[0] for name in names]
        self._torso_speed, self._toe, self._heel = (
            numbers(self.data.sensordata[start:]) for start in self._sensors
        )
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

    def rows(self, path: Path) -> np.ndarray:
        """See ``Body.rows``."""
        touch = [each(log1p, path.sensors[:, start]) for start in self._sensors[1:]]
        return np.column_stack([path.qpos, path.qvel, *touch])

    def _height(self) -> float:
        """Of the torso over the foot."""
        return self._torso[2] - self._foot[2]

    def _heights(self, path: Path) -> np.ndarray:
        torso, foot = (path.placed["xipos"][:, part, 2] for part in self._parts)
        return torso - foot


class Stand(Hopper):
    """Stand, with small controls."""

    def reward(self) -> float:
        """Zero unless it stands; then at least 0.8, and 1 without control."""
        return _standing(self._height(), self._control.tolist())

    def rewards(self, path: Path) -> np.ndarray:
        """See ``Body.rewards``."""
        return each(_standing, self._heights(path), path.control)


class Hop(Hopper):
    """Stand and move forward."""

    def reward(self) -> float:
        """Horizontal speed, up to ``HOP_SPEED``, while it stands."""
        return _hopping(self._height(), self._torso_speed[0])

    def rewards(self, path: Path) -> np.ndarray:
        """See ``Body.rewards``."""
        return each(_hopping, self._heights(path), path.sensors[:, self._sensors[0]])


def _standing(height: float, controls: Sequence[float]) -> float:
    low, high = STAND_HEIGHTS
    if not low <= height <= high:
        return 0.0
    return (sum(map(quadratic, controls)) / len(controls) + 4) / 5


def _hopping(height: float, speed: float) -> float:
    low, high = STAND_HEIGHTS
    return linear(speed, HOP_SPEED, HOP_SPEED / 2, 0.5) if low <= height <= high else 0.0


TASKS = {"stand": Stand, "hop": Hop}
