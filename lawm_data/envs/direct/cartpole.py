"""The cart with one pole: balance, swingup, and both with a sparse reward."""

from __future__ import annotations

from math import cos, exp, sin

import numpy as np

from lawm_data.envs.direct._body import (
    Body,
    MjModel,
    Path,
    each,
    gaussian_exponent,
    mj_step,
    numbers,
    quadratic,
    quadratics,
)

CART_RANGE = 0.25
UPRIGHT_COSINE = 0.995
_CENTERED = gaussian_exponent(margin=2)
_SLOW = gaussian_exponent(margin=5)


class Cartpole(Body):
    """Observes the cart's position, cosine and sine of the pole's angle, and the velocities.

    Balance and swingup differ only in how the suite starts them.
    """

    def __init__(self, model: MjModel, substeps: int, action: np.ndarray, row: np.ndarray) -> None:
        super().__init__(model, substeps, action, row)
        self._row = numbers(row)

    @staticmethod
    def layout(model: MjModel) -> tuple[int, int]:
        """See ``Body.layout``."""
        return 9, 4

    def advance(self, repeats: int) -> float:
        """See ``Body.advance``.

        A Runge-Kutta step starts with a full forward pass, and all that the task needs follows from
        positions and velocities: the suite's update of the rest after each step is left out.
        """
        self._control[:] = self._action
        total = 0.0
        for _ in range(repeats):
            mj_step(self.model, self.data, self._substeps)
            total += self.reward()
        return total

    def observe(self) -> None:
        """See ``Body.observe``."""
        (cart, angle), (speed, turn) = self._qpos, self._qvel
        row = self._row
        row[0], row[1], row[2], row[3] = cart, angle, speed, turn
        row[4], row[5], row[6], row[7], row[8] = cart, cos(angle), sin(angle), speed, turn

    def rows(self, path: Path) -> np.ndarray:
        """See ``Body.rows``."""
        cart, angle = path.qpos.T
        turned = each(cos, angle), each(sin, angle)
        return np.column_stack([path.qpos, path.qvel, cart, *turned, path.qvel])


class Dense(Cartpole):
    """Smooth reward."""

    def reward(self) -> float:
        """Upright, centred, slow and with small control, each within [0, 1]."""
        (cart, angle), turn = self._qpos, self._qvel[1]
        centered = (1 + exp(_CENTERED * cart * cart)) / 2
        small_control = (4 + quadratic(self._control[0])) / 5
        small_velocity = (1 + exp(_SLOW * turn * turn)) / 2
        return (cos(angle) + 1) / 2 * small_control * small_velocity * centered

    def rewards(self, path: Path) -> np.ndarray:
        """See ``Body.rewards``."""
        (cart, angle), turn = path.qpos.T, path.qvel[:, 1]
        centered = (1 + each(exp, _CENTERED * cart * cart)) / 2
        small_control = (4 + quadratics(path.control[:, 0])) / 5
        small_velocity = (1 + each(exp, _SLOW * turn * turn)) / 2
        return (each(cos, angle) + 1) / 2 * small_control * small_velocity * centered


class Sparse(Cartpole):
    """All or nothing."""

    def reward(self) -> float:
        """1 while centred and upright."""
        cart, angle = self._qpos
        return float(abs(cart) <= CART_RANGE and cos(angle) >= UPRIGHT_COSINE)

    def rewards(self, path: Path) -> np.ndarray:
        """See ``Body.rewards``."""
        cart, angle = path.qpos.T
        return (abs(cart) <= CART_RANGE) & (each(cos, angle) >= UPRIGHT_COSINE)


TASKS = {"balance": Dense, "balance_sparse": Sparse, "swingup": Dense, "swingup_sparse": Sparse}
