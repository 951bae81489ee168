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
from lawm_schemas import ArraySpec, ConfigError, EnvironmentInfo, LawmError, Role

UNLIMITED_EPISODE = 1000
"""Control steps of an episode of the few tasks without a time limit (lqr)."""
_PIN = "mujoco>=3.17,<4"
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


@contextmanager
def readable_errors(task: str) -> Iterator[None]:
    """Turn what dm_control raises into one line with its mend."""
    try:
        yield
    except LawmError:
        raise
    except ModuleNotFoundError as error:
        what = f"needs the package {error.name}"
        raise ConfigError(what, task, 'pip install "lawm[dm-control]"') from None
    except AttributeError as error:
        # dm_control asks mujoco for a field that mujoco 4 renamed.
        if "flex_vertedge" not in str(error):
            raise
        what = "this dm_control cannot work with the installed mujoco"
        raise ConfigError(what, task, f'pip install "{_PIN}"') from None
    except RuntimeError as error:
        if "rendering backend" in str(error):
            raise _no_rendering(task, "MUJOCO_GL=disable") from None
        # dm_control's PhysicsError is a RuntimeError; naming it would import dm_control.
        if type(error).__name__ == "PhysicsError":
            raise diverged(task) from None
        raise


def diverged(task: str) -> LawmError:
    """The error for a simulation that blew up."""
    return LawmError("the simulation diverged", task, "keep actions finite, or take another seed")


def load(task: str) -> Any:
    """Load a suite task by its name ``domain-task``; returns dm_control's ``Environment``.

    Raises:
        ConfigError: no such task, dm_control is missing, or mujoco is too new for it.
    """
    with readable_errors(task), _quietly():
        suite: Any = import_module("dm_control.suite")
        domain, _, name = task.partition("-")
        if (domain, name) not in suite.ALL_TASKS:
            raise _unknown(task, [f"{d}-{t}" for d, t in suite.ALL_TASKS])
        # lqr draws its very model from this seed; other tasks are seeded again at every reset.
        return suite.load(domain, name, task_kwargs={"random": 0})


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep to itself what is not the user's to mend.

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


def _unknown(task: str, known: list[str]) -> ConfigError:
    near = difflib.get_close_matches(task, known, n=3, cutoff=0.3) or known[:3]
    return ConfigError("unknown environment", task, f"nearest names: {', '.join(near)}")


def reset(env: Any, seed: int) -> dict[str, np.ndarray]:
    """Start the episode that ``suite.load(..., {"random": seed})`` would start first."""
    env.task.random.seed(seed)
    return env.reset().observation


def control_steps(env: Any) -> int:
    """Control steps of an episode: the first count at which the suite ends it."""
    limit = env._step_limit
    return math.ceil(limit) if math.isfinite(limit) else UNLIMITED_EPISODE


def observation_specs(env: Any, pixels: int | None) -> tuple[ArraySpec, ...]:
    """State fields by the suite's names, then physics, then pixels."""
    fields = env.observation_spec().items()
    specs = [ArraySpec(name=name, shape=field.shape or (1,)) for name, field in fields]
    size = len(env.physics.get_state())
    specs.append(ArraySpec(name="physics", shape=(size,), dtype="float64", role=Role.physics))
    if pixels is not None:
        shape = (pixels, pixels, 3)
        specs.append(ArraySpec(name="pixels", shape=shape, dtype="uint8", role=Role.pixels))
    return tuple(specs)


def action_spec(env: Any) -> ArraySpec:
    """The action with its bounds; none where the suite writes mujoco's largest number."""
    spec = env.action_spec()
    low, high = np.broadcast_to(spec.minimum, spec.shape), np.broadcast_to(spec.maximum, spec.shape)
    bounds: dict[str, Any] = {}
    if max(abs(low).max(), abs(high).max()) < 1e10:  # mjMAXVAL
        bounds = {"low": tuple(low.tolist()), "high": tuple(high.tolist())}
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


def render(env: Any, task: str, height: int, width: int) -> np.ndarray:
    """Picture of a suite environment from the side, (height, width, 3) uint8.

    Raises:
        ConfigError: this machine cannot render as it is set up.
    """
    backend = os.environ.get("MUJOCO_GL")
    windows = backend in (None, "", "glfw") and sys.platform.startswith("linux")
    if windows and not any(os.environ.get(name) for name in _DISPLAYS):
        raise _no_rendering(task, "there is no display")
    camera = 2 if task.startswith("quadruped") else 0  # the others' first camera follows the body
    with readable_errors(task):
        return env.physics.render(height, width, camera_id=camera)


def _no_rendering(task: str, reason: str) -> ConfigError:
    return ConfigError(f"cannot render: {reason}", task, "set MUJOCO_GL=egl or MUJOCO_GL=osmesa")
