"""The dm_control suite: loading its tasks, describing them, drawing them."""

from __future__ import annotations

import difflib
import logging
import math
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, EnvironmentInfo, Role

from lawm_data.envs.distractors import Distractors
from lawm_data.envs.suites import _errors
from lawm_data.envs.suites._drawing import STYLES, Drawer

UNLIMITED_EPISODE = 1000
"""Control steps of an episode of the few tasks without a time limit (lqr)."""
_UNBOUNDED = 1e10
"""mjMAXVAL: what the suite writes for actions without bounds."""
_AFTER_VELOCITIES = (
    *("qacc", "qacc_smooth", "act_dot", "actuator_force"),
    *("qfrc_actuator", "qfrc_smooth", "qfrc_constraint", "cacc", "cfrc_int", "cfrc_ext"),
)
"""What MuJoCo computes after positions and velocities, from the controls too."""


def load(task: str) -> Any:
    """Load a suite task by its name ``domain-task``; returns dm_control's ``Environment``.

    Raises:
        ConfigError: no such task, dm_control is missing, or mujoco is too new for it.
    """
    require_task(task)
    with _errors.loading(task), _quietly():
        suite: Any = import_module("dm_control.suite")
        domain, _, name = task.partition("-")
        # lqr draws its very model from this seed; other tasks are seeded again at every reset.
        return suite.load(domain, name, task_kwargs={"random": 0})


def require_task(task: str) -> None:
    """Refuse a name that is none of the suite's tasks.

    Raises:
        ConfigError: no such task, dm_control is missing, or mujoco is too new for it.
    """
    with _errors.loading(task), _quietly():
        known = [f"{domain}-{name}" for domain, name in import_module("dm_control.suite").ALL_TASKS]
    if task not in known:
        near = ", ".join(difflib.get_close_matches(task, known, n=3, cutoff=0.3) or known[:3])
        raise ConfigError("unknown environment", task or repr(task), f"nearest names: {near}")


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide warnings that the user can do nothing about.

    That is GLFW missing a display on import (only rendering needs one, and says so), and MuJoCo
    finding old words in the suite's own models.
    """
    logger = import_module("absl.logging").get_absl_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def reset(env: Any, task: str, seed: int) -> dict[str, np.ndarray]:
    """Start the episode that ``suite.load(..., {"random": seed})`` would start first."""
    with _errors.simulating(task):
        env.task.random.seed(seed)
        return env.reset().observation


def advance(env: Any, action: np.ndarray) -> tuple[float, bool]:
    """One control step as ``env.step`` does it, without looking at where it led.

    Returns:
        The reward, and whether a terminal state was reached before the time limit.
    """
    task, physics = env.task, env.physics
    task.before_step(action, physics)
    physics.step(env._n_sub_steps)
    task.after_step(physics)
    env._step_count += 1
    reward = task.get_reward(physics)
    limited = env._step_count >= env._step_limit
    return reward, not limited and task.get_termination(physics) == 0


def restore(env: Any, task: str, physics: np.ndarray) -> dict[str, np.ndarray]:
    """Put an environment that was reset into a recorded state; returns what it observes there."""
    require_state(physics, len(env.physics.get_state()), task)
    with _errors.simulating(task):
        env.physics.set_state(physics)
        env.physics.forward()
        return env.task.get_observation(env.physics)


def unrestorable(env: Any, task: str) -> frozenset[str]:
    """Names of observations that depend on accelerations and forces.

    Those that change when everything is altered that MuJoCo computes after positions and
    velocities. Actuation, constraint forces and their sensors are of the substep before the state.
    """
    mujoco: Any = import_module("mujoco")
    model, data = env.physics.model.ptr, env.physics.data.ptr
    reset(env, task, 0)
    with _errors.simulating(task):
        kept, before = mujoco.MjData(model), _observed(env)
        mujoco.mj_copyData(kept, model, data)
        for name in _AFTER_VELOCITIES:
            getattr(data, name)[...] += 1
        late = model.sensor_needstage == mujoco.mjtStage.mjSTAGE_ACC
        for start, size in zip(model.sensor_adr[late], model.sensor_dim[late], strict=True):
            data.sensordata[start : start + size] += 1
        after = _observed(env)
        mujoco.mj_copyData(data, model, kept)
    return frozenset(name for name in before if not np.array_equal(before[name], after[name]))


def _observed(env: Any) -> dict[str, np.ndarray]:
    """Copies of what is observed in the present state."""
    return {name: np.array(a) for name, a in env.task.get_observation(env.physics).items()}


def remembers(env: Any) -> bool:
    """Whether the model has delays; what they hold is no part of dm_control's state."""
    mujoco: Any = import_module("mujoco")
    history = getattr(mujoco.mjtState, "mjSTATE_HISTORY", None)  # of MuJoCo 3.5 and newer
    return history is not None and mujoco.mj_stateSize(env.physics.model.ptr, history) > 0


def require_state(physics: np.ndarray, size: int, task: str) -> None:
    """Refuse a physics state of another size, as another version of the suite may have."""
    if physics.shape != (size,):
        what = f"a recorded physics state has shape {physics.shape}, the simulator {(size,)}"
        raise ConfigError(what, task, "install the mujoco and dm_control that collected it")


def seed_matters(env: Any, task: str) -> bool:
    """Whether resets change the model: some tasks keep their goal there, not in the state."""
    mujoco: Any = import_module("mujoco")
    model = env.physics.model.ptr
    models = np.empty((2, mujoco.mj_sizeModel(model)), np.uint8)
    for seed in (0, 1):
        reset(env, task, seed)
        mujoco.mj_saveModel(model, None, models[seed])
    return not np.array_equal(models[0], models[1])


def control_steps(env: Any) -> int:
    """Control steps of an episode: the first count at which the suite ends it."""
    limit = env._step_limit
    return math.ceil(limit) if math.isfinite(limit) else UNLIMITED_EPISODE


def substeps(env: Any) -> int:
    """Physics steps per control step."""
    return env._n_sub_steps


def observation_specs(
    env: Any, pixels: int | None, physics: bool = True, distractors: Distractors | None = None
) -> tuple[ArraySpec, ...]:
    """State fields by the suite's names, then physics, pixels and what distractors did."""
    fields = env.observation_spec().items()
    specs = [ArraySpec(name=name, shape=field.shape or (1,)) for name, field in fields]
    if physics:
        size = len(env.physics.get_state())
        specs.append(ArraySpec(name="physics", shape=(size,), dtype="float64", role=Role.physics))
    if pixels is not None:
        shape = (pixels, pixels, 3)
        camera = {"name": "pixels", "shape": shape, "dtype": "uint8", "role": Role.pixels}
        drawing = None if distractors is None else distractors.drawing
        specs.append(ArraySpec(**camera, drawing=drawing))
        specs += () if distractors is None else distractors.arrays
    return tuple(specs)


def action_spec(env: Any) -> ArraySpec:
    """The action with its bounds, or without where one of them is missing."""
    spec = env.action_spec()
    low, high = (np.broadcast_to(b, spec.shape).tolist() for b in (spec.minimum, spec.maximum))
    bounds: dict[str, Any] = {}
    if max(map(abs, low + high)) < _UNBOUNDED:
        bounds = {"low": tuple(low), "high": tuple(high)}
    return ArraySpec(name="action", shape=spec.shape, role=Role.action, **bounds)


def environment_info(env: Any, task: str, action_repeat: int) -> EnvironmentInfo:
    """What the corpus remembers of the environment; the suite's rewards lie in [0, 1]."""
    limited = math.isfinite(env._step_limit)
    return EnvironmentInfo(
        task=task,
        action_repeat=action_repeat,
        control_timestep=env.control_timestep(),
        max_return=float(control_steps(env)) if limited else None,
    )


class Eye:
    """Looks at one environment by the settings of a drawing.

    Args:
        env: the suite's environment, which is drawn in its present state.
        task: its name.
        size: edge of the pictures.
        distractors: how they are drawn, and what else is in them.
    """

    def __init__(self, env: Any, task: str, size: int, distractors: Distractors) -> None:
        drawing = distractors.drawing
        self._env, self._task, self._size, self._distractors = env, task, size, distractors
        self._camera = drawing and drawing.camera
        by = "suite" if drawing is None else drawing.by
        self._drawer = Drawer(env.physics, by) if by in STYLES else None
        # what is behind the body is found with one sample a pixel
        self._finder = self._drawer if by == "fast" else None

    def look(self, trajectory: int, t: int) -> dict[str, np.ndarray]:
        """The picture, and what the distractors do, by the names of ``observation_specs``.

        Args:
            trajectory: the seed of its reset, which decides what distractors do.
            t: its step, likewise.
        """
        size = self._size
        picture = render(self._env, self._task, size, size, self._camera, self._drawer)
        if not len(self._distractors):
            return {"pixels": picture}
        if self._finder is None:
            self._finder = Drawer(self._env.physics, "fast")
        camera = usual_camera(self._task) if self._camera is None else self._camera
        with _errors.rendering(self._task):
            behind = self._finder.behind(size, size, camera)
        picture = picture.copy()
        return {"pixels": picture, **self._distractors.paint(picture, behind, trajectory, t)}


def usual_camera(task: str) -> int:
    """The camera that follows the body."""
    return 2 if task.startswith("quadruped") else 0


def render(
    env: Any,
    task: str,
    height: int,
    width: int,
    camera: int | str | None = None,
    by: Drawer | None = None,
) -> np.ndarray:
    """Picture of a suite environment, (height, width, 3) uint8; None draws as the suite does.

    Raises:
        ConfigError: this machine cannot render as it is set up, or there is no such camera.
    """
    windows = os.environ.get("MUJOCO_GL", "") in ("", "glfw") and sys.platform.startswith("linux")
    if windows and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise _errors.no_rendering(task, "there is no display")
    if camera is None:
        camera = usual_camera(task)
    else:
        _require_camera(env, task, camera)
    with _errors.rendering(task):
        if by is not None:
            return by(height, width, camera)
        return env.physics.render(height, width, camera_id=camera)


def _require_camera(env: Any, task: str, camera: int | str) -> None:
    model = env.physics.model
    names = [model.id2name(i, "camera") for i in range(model.ncam)]
    if camera not in names and camera not in range(-1, model.ncam):
        known = ", ".join([str(i) for i in range(-1, model.ncam)] + [n for n in names if n])
        raise ConfigError("no such camera", f"{task}: camera {camera!r}", f"cameras: {known}")
