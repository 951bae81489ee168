"""The planar cheetah: run."""

from __future__ import annotations

import numpy as np

from lawm_data.envs.direct._body import Body, MjModel, Path, linear, linears, numbers

RUN_SPEED = 10


class Cheetah(Body):
    """Observes positions without the horizontal one, and velocities: the end of its physics."""

    def __init__(self, model: MjModel, substeps: int, action: np.ndarray, row: np.ndarray) -> None:
        super().__init__(model, substeps, action, row)
        self._velocity = model.sensor("torso_subtreelinvel").adr[0]
        self._torso_speed = numbers(self.data.sensordata[self._velocity :])

    @staticmethod
    def layout(model: MjModel) -> tuple[int, int]:
        """See ``Body.layout``."""
        return model.nq + model.nv, 1

    def reward(self) -> float:
        """Horizontal speed, up to ``RUN_SPEED``."""
        return linear(self._torso_speed[0], RUN_SPEED, RUN_SPEED, 0.0)

    def rewards(self, path: Path) -> np.ndarray:
        """See ``Body.rewards``."""
        return linears(path.sensors[:, self._velocity], RUN_SPEED, RUN_SPEED, 0.0)

    def rows(self, path: Path) -> np.ndarray:
        """See ``Body.rows``."""
        return np.concatenate([path.qpos, path.qvel], axis=1)


TASKS = {"run": Cheetah}
