"""One simulated body: stepping, observing and rewarding from MuJoCo's raw arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from math import log
from typing import Any, TypeAlias

import numpy as np

mujoco: Any = import_module("mujoco")
MjModel: TypeAlias = Any
"""``mujoco.MjModel``."""
MjData: TypeAlias = Any
"""``mujoco.MjData``."""


# Module globals are looked up faster than a module's attributes.
mj_step, mj_step1, mj_step2 = mujoco.mj_step, mujoco.mj_step1, mujoco.mj_step2


def numbers(array: np.ndarray) -> Any:
    """An array's memoryview: reading a number or copying a few costs a third of NumPy's."""
    return array.data


class Body(ABC):
    """One environment's ``MjData``, driven by one row of numbers and written into another.

    The row written to is the physics state (positions, velocities), then numbers of the task; its
    end, from the column that ``layout`` names, is the suite's observation. All arrays are views of
    memory that stays in place, taken once.

    Args:
        model: the model, shared by all bodies.
        substeps: physics steps per control step.
        action: float64 (A,) that ``advance`` reads.
        row: float64 (width,) that ``observe`` writes.
    """

    def __init__(self, model: MjModel, substeps: int, action: np.ndarray, row: np.ndarray) -> None:
        self.model = model
        self.data: MjData = mujoco.MjData(model)
        data = self.data
        self._substeps = substeps
        self._action, self._control = numbers(action), numbers(data.ctrl)
        self._qpos, self._qvel = numbers(data.qpos), numbers(data.qvel)
        self._row_qpos = numbers(row[: model.nq])
        self._row_qvel = numbers(row[model.nq : model.nq + model.nv])
        self._warnings = data.warning.number
        self._warnings_at_start = b""

    @staticmethod
    @abstractmethod
    def layout(model: MjModel) -> tuple[int, int]:
        """Width of the row, and the column at which the observation starts."""

    @abstractmethod
    def reward(self) -> float:
        """Reward of the present state, within [0, 1]."""

    def start(self, data: MjData) -> None:
        """Take over the state of an episode that the suite has just started."""
        mujoco.mj_copyData(self.data, self.model, data)
        self._warnings_at_start = self._warnings.tobytes()
        self.observe()

    def restore(self, physics: np.ndarray) -> None:
        """Go on from a recorded state (positions, velocities)."""
        self.data.qpos[:] = physics[: self.model.nq]
        self.data.qvel[:] = physics[self.model.nq :]
        mujoco.mj_forward(self.model, self.data)
        self.observe()

    def observe(self) -> None:
        """Write the present state into the row."""
        self._row_qpos[:] = self._qpos
        self._row_qvel[:] = self._qvel

    def advance(self, repeats: int) -> float:
        """Hold the action for some control steps and return the summed reward.

        The order is the suite's legacy step: finish the open step with the new control, take the
        steps between, open the next, so that positions and sensors belong to the present state.
        """
        model, data, between = self.model, self.data, self._substeps - 1
        self._control[:] = self._action
        total = 0.0
        for _ in range(repeats):
            mj_step2(model, data)
            if between:
                mj_step(model, data, between)
            mj_step1(model, data)
            total += self.reward()
        return total

    def diverged(self) -> bool:
        """MuJoCo has warned since the start: the states are not to be trusted."""
        return self._warnings.tobytes() != self._warnings_at_start


def gaussian_exponent(margin: float) -> float:
    """The k with which ``exp(k * x * x)`` is 1 at zero and 0.1 at ``±margin``."""
    return log(0.1) / margin**2


def linear(x: float, low: float, margin: float, value_at_margin: float) -> float:
    """1 from ``low`` on, below it a line to ``value_at_margin`` at ``low - margin``, then 0."""
    if x >= low:
        return 1.0
    value = 1.0 - (1.0 - value_at_margin) * (low - x) / margin
    return value if value > 0.0 else 0.0


def quadratic(x: float) -> float:
    """1 at zero, falling as a parabola to 0 at ±1."""
    return 1.0 - x * x if -1.0 < x < 1.0 else 0.0
