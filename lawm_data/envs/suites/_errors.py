"""What dm_control and mujoco raise, turned into one line with a hint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lawm_schemas import ConfigError, LawmError
from lawm_schemas.errors import reason_of

_GL_WORDS = ("glGetError", "MUJOCO_GL", "EGL", "OSMesa", "PYOPENGL")


@contextmanager
def loading(task: str) -> Iterator[None]:
    """Importing dm_control and building a task."""
    try:
        yield
    except LawmError:
        raise
    except ModuleNotFoundError as error:
        what = f"needs dm_control ({error.name} is not installed)"
        raise ConfigError(what, task, 'pip install "lawm[dm-control]"') from None
    except (AttributeError, ImportError, RuntimeError) as error:
        if "flex_vertedge" in str(error):  # a field that mujoco 4 renamed
            what = "this dm_control cannot work with the installed mujoco"
            raise ConfigError(what, task, 'pip install "mujoco>=3.17,<4"') from None
        if any(word in str(error) for word in _GL_WORDS):
            what = f"MUJOCO_GL={os.environ.get('MUJOCO_GL', '')} cannot be loaded"
            hint = "set MUJOCO_GL=disable to go without pictures, or install its library"
            raise ConfigError(what, task, hint) from None
        raise


@contextmanager
def simulating(task: str) -> Iterator[None]:
    """Resetting and stepping."""
    try:
        yield
    except RuntimeError as error:
        # The class of dm_control's PhysicsError is only known where dm_control is imported.
        if type(error).__name__ == "PhysicsError":
            raise diverged(task) from None
        if "rendering backend" in str(error):  # a few quadruped tasks draw at every reset
            raise no_rendering(task, "MUJOCO_GL=disable") from None
        raise


@contextmanager
def rendering(task: str) -> Iterator[None]:
    """Drawing pictures: whatever goes wrong is the display's or the driver's doing."""
    try:
        yield
    except Exception as error:
        raise no_rendering(task, why_not_drawn(error)) from None


def of_opengl(error: Exception) -> bool:
    """Whether it is about how MuJoCo draws, which MUJOCO_GL decides."""
    return any(word in str(error) for word in (*_GL_WORDS, "OpenGL"))


def why_not_drawn(error: Exception) -> str:
    """What an error of drawing by MuJoCo says, in a few words."""
    backend = os.environ.get("MUJOCO_GL")
    return f"MUJOCO_GL={backend}" if backend == "disable" else reason_of(error)


def diverged(task: str) -> LawmError:
    """The simulation blew up."""
    return LawmError("the simulation diverged", task, "keep actions finite, or take another seed")


def no_rendering(task: str, reason: str) -> ConfigError:
    """Pictures cannot be drawn here."""
    return ConfigError(f"cannot render: {reason}", task, "set MUJOCO_GL=egl or MUJOCO_GL=osmesa")
