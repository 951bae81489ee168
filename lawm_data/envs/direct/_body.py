"""One simulated body: stepping, observing and rewarding from MuJoCo's raw arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from math import log
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

mujoco: Any = import_module("mujoco")
mujoco_rollout: Any = import_module("mujoco.rollout")
MjModel: TypeAlias = Any
"""``mujoco.MjModel``."""
MjData: TypeAlias = Any
"""``mujoco.MjData``."""


# Module globals are looked up faster than a module's attributes.
mj_step, mj_step1, mj_step2 = mujoco.mj_step, mujoco.mj_step1, mujoco.mj_step2
mj_kinematics = mujoco.mj_kinematics
_ACCELERATIONS = mujoco.mjtStage.mjSTAGE_ACC


def numbers(array: np.ndarray) -> Any:
    """An array's memoryview: reading a number or copying a few costs a third of NumPy's."""
    return array.data


class Path(NamedTuple):
    """The states that a body came to at the end of C control steps."""

    control: np.ndarray
    """(C, A)."""
    qpos: np.ndarray
    """(C, nq)."""
    qvel: np.ndarray
    """(C, nv)."""
    sensors: np.ndarray
    """(C, S), as ``sensordata`` would read there."""
    placed: dict[str, np.ndarray]
    """Those arrays of ``MjData`` that ``Body.placed`` names, (C, ...)."""

    def at(self, steps: np.ndarray) -> Path:
        """Some of the states."""
        control, qpos, qvel, sensors = (array[steps] for array in self[:4])
        placed = {name: array[steps] for name, array in self.placed.items()}
        return Path(control, qpos, qvel, sensors, placed)


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

    placed: ClassVar[tuple[str, ...]] = ()
    """Arrays of ``MjData`` that ``rewards`` and ``rows`` read; they follow from positions alone."""

    def __init__(self, model: MjModel, substeps: int, action: np.ndarray, row: np.ndarray) -> None:
        self.model = model
        self.data: MjData = mujoco.MjData(model)
        data = self.data
        self._substeps = substeps
        self._action, self._control = numbers(action), numbers(data.ctrl)
        self._qpos, self._qvel = numbers(data.qpos), numbers(data.qvel)
        self._row_qpos = numbers(row[: model.nq])
        self._row_qvel = numbers(row[model.nq : model.nq + model.nv])
        self._late = np.repeat(model.sensor_needstage == _ACCELERATIONS, model.sensor_dim)
        self._warnings = data.warning.number
        self._warnings_at_start = b""

    @staticmethod
    @abstractmethod
    def layout(model: MjModel) -> tuple[int, int]:
        """Width of the row, and the column at which the observation starts."""

    @abstractmethod
    def reward(self) -> float:
        """Reward of the present state, within [0, 1]."""

    @abstractmethod
    def rewards(self, path: Path) -> np.ndarray:
        """``reward`` of every state of a path, (C,)."""

    @abstractmethod
    def rows(self, path: Path) -> np.ndarray:
        """What ``observe`` writes in every state of a path, (C, width)."""

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

    def follow(self, actions: np.ndarray) -> Path | None:
        """What as many calls of ``advance`` lead to, by MuJoCo's own loop; None if it has warned.

        Its steps are whole ones, so that positions, velocities and their sensors are computed at
        the beginning of the next: the same numbers, since no control enters into them.

        Args:
            actions: one for each control step, float64 (C, A).
        """
        model, data, n = self.model, self.data, self._substeps
        full = mujoco.mjtState.mjSTATE_FULLPHYSICS
        start = np.empty((1, mujoco.mj_stateSize(model, full)))
        mujoco.mj_getState(model, data, start[0], full)
        # the solver goes on from the accelerations before, which are no part of that state
        states, readings = mujoco_rollout.rollout(
            model,
            data,
            start,
            np.repeat(actions, n, axis=0)[None],
            initial_warmstart=data.qacc_warmstart.copy()[None],
        )
        mj_step1(model, data)
        self._warnings_at_start = self._warnings.tobytes()  # which start from zero here
        if any(self._warnings_at_start):
            return None
        ends = states[0, n - 1 :: n, 1 : 1 + model.nq + model.nv]  # time stands before
        qpos, qvel = ends[:, : model.nq], ends[:, model.nq :]
        sensors = np.concatenate([readings[0, n::n], data.sensordata[None]])
        sensors[:, self._late] = readings[0, n - 1 :: n, self._late].T
        return Path(actions, qpos, qvel, sensors, self._place(qpos))

    def _place(self, qpos: np.ndarray) -> dict[str, np.ndarray]:
        """Where the parts of the body are in each of these positions, (C, nq)."""
        model, data = self.model, self.data
        sources = {name: getattr(data, name) for name in self.placed}
        arrays = {name: np.empty((len(qpos), *a.shape)) for name, a in sources.items()}
        pairs = [(arrays[name], source) for name, source in sources.items()]
        if pairs:
            for t, positions in enumerate(qpos):
                self._qpos[:] = positions
                mj_kinematics(model, data)
                for array, source in pairs:
                    array[t] = source
        return arrays

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


def linears(x: np.ndarray, low: float, margin: float, value_at_margin: float) -> np.ndarray:
    """``linear`` of every number."""
    value = 1.0 - (1.0 - value_at_margin) * (low - x) / margin
    return np.where(x >= low, 1.0, np.where(value > 0.0, value, 0.0))


def each(function: Callable[..., float], *numbers: np.ndarray) -> np.ndarray:
    """A function of plain numbers, (C,) each; NumPy's own may differ from ``math`` in a bit."""
    return np.array(list(map(function, *(array.tolist() for array in numbers))))


def quadratic(x: float) -> float:
    """1 at zero, falling as a parabola to 0 at ±1."""
    return 1.0 - x * x if -1.0 < x < 1.0 else 0.0


def quadratics(x: np.ndarray) -> np.ndarray:
    """``quadratic`` of every number."""
    return np.where(abs(x) < 1.0, 1.0 - x * x, 0.0)
