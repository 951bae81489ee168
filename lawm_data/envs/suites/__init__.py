"""Suites of environments by name: one module of this folder or of another package is one suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lawm_schemas import ConfigError, Drawing, EnvironmentInfo

from lawm_data.envs.renderer import choose_renderer
from lawm_data.envs.suites._copies import Advance as Advance
from lawm_data.envs.suites._copies import Copies as Copies
from lawm_data.envs.suites._protocol import LARGEST_SEED as LARGEST_SEED
from lawm_data.envs.suites._protocol import Environments as Environments
from lawm_data.envs.suites._protocol import Step as Step
from lawm_data.envs.suites._protocol import SuiteModule as SuiteModule
from lawm_data.system.registry import Modules

SUITES = Modules[SuiteModule](
    "suite", __name__, "lawm.envs", {"make": Callable, "require_task": Callable}
)
"""Every suite; a module imports its simulator only when it makes something."""


LARGEST = 4096
"""Edge of a camera image, in pixels."""


def named_environment(name: str, action_repeat: int = 1) -> EnvironmentInfo:
    """The environment that a user means by a name, as the suite's ``describe`` describes it.

    Args:
        name: a task of dm_control, such as ``walker-walk``, or ``SUITE:TASK``, such as
            ``gym:Pendulum-v1``.
        action_repeat: control steps per recorded step.

    Raises:
        ConfigError: no such environment, its package is missing, or a number is out of range.
    """
    suite, task = split_task(name)
    values = {"suite": suite, "task": task, "action_repeat": action_repeat}
    found = EnvironmentInfo.parse(values, "env")
    require_task(name)
    describe = getattr(SUITES.load(suite), "describe", None)
    return found if describe is None else describe(task, action_repeat)


def require_task(task: str, suite: str = "dm_control") -> None:
    """Refuse a task that the suite does not have; makes nothing.

    Raises:
        ConfigError: no such task, or the suite's package is missing.
    """
    suite, name = split_task(task, suite)
    try:
        SUITES.load(suite, task).require_task(name)
    except ConfigError as error:
        others = [other for other in SUITES.ours() if other != suite and _has(other, name)]
        if not others:
            raise
        raise ConfigError(error.what, error.where, f"it is {others[0]}:{name}") from None


def _has(suite: str, task: str) -> bool:
    try:
        SUITES.load(suite).require_task(task)
    except ConfigError:
        return False
    return True


def make(
    task: str,
    *,
    suite: str = "dm_control",
    num_envs: int = 1,
    action_repeat: int = 2,
    pixels: int | None = None,
    physics: bool = True,
    direct: bool | None = None,
    drawing: Drawing | None = None,
    draws: bool = False,
) -> Environments:
    """Make N copies of one task, stepped in lockstep.

    Args:
        task: task within the suite, e.g. ``walker-walk``; or ``SUITE:TASK``, e.g.
            ``gym:CartPole-v1``.
        suite: one of ``SUITES.names()``.
        num_envs: N, number of copies.
        action_repeat: control steps per step; their rewards are summed.
        pixels: edge in pixels of a square camera image to observe, or none.
        physics: observe the simulator's state, too.
        direct: step the simulator without the suite's Python layer; none does so where it can.
        drawing: how that image is drawn; None as the suite itself draws.
        draws: ``Environments.render`` will be called, which some suites have to know now.

    Raises:
        ConfigError: suite or task is unknown, its package is missing, a number is out of range, or
            it is to be drawn and cannot.
    """
    if pixels is not None or draws:
        choose_renderer()
    require_task(task, suite)
    suite, task = split_task(task, suite)
    module = SUITES.load(suite)
    for name, number in (("num_envs", num_envs), ("action_repeat", action_repeat)):
        if number < 1:
            raise ConfigError(f"{number} is below 1", name, "give 1 or more")
    if pixels is not None and not 1 <= pixels <= LARGEST:
        hint = f"give the edge of the image, from 1 to {LARGEST}, e.g. 64"
        raise ConfigError(f"is {pixels}", "pixels", hint)
    more: dict[str, Any] = {}
    if drawing is not None:
        if usual_drawing(task, suite) is None:
            what = "does not draw by name"
            raise ConfigError(what, f"{suite}:{task}", "leave out how: it draws in its own way")
        more["drawing"] = drawing
    if draws and getattr(module, "DRAWS_WHEN_TOLD", False):
        more["draws"] = True
    return module.make(
        task,
        num_envs=num_envs,
        action_repeat=action_repeat,
        pixels=pixels,
        physics=physics,
        direct=direct,
        **more,
    )


def usual_repeat(task: str, suite: str = "dm_control") -> int:
    """Control steps per step when nobody says: ``ACTION_REPEAT`` of the suite, or 1."""
    suite, _ = split_task(task, suite)
    return getattr(SUITES.load(suite), "ACTION_REPEAT", 1)


def usual_drawing(task: str, suite: str = "dm_control") -> Drawing | None:
    """How pictures of a new corpus are drawn: ``DRAWING`` of the suite.

    None where the suite draws in its own way only.
    """
    suite, _ = split_task(task, suite)
    return getattr(SUITES.load(suite), "DRAWING", None)


def camera_name(task: str, suite: str = "dm_control") -> str:
    """Name of the picture that ``make`` adds for ``pixels``: ``CAMERA`` of the suite."""
    suite, _ = split_task(task, suite)
    return getattr(SUITES.load(suite), "CAMERA", "pixels")


def terminates(task: str, suite: str = "dm_control") -> bool:
    """Whether trajectories may end in terminal states: ``TERMINATES`` of the suite, or yes."""
    suite, _ = split_task(task, suite)
    return getattr(SUITES.load(suite), "TERMINATES", True)


def split_task(task: str, suite: str = "dm_control") -> tuple[str, str]:
    """Suite and task of ``SUITE:TASK``; without a suite in front, the one that is given."""
    prefix, colon, rest = str(task).partition(":")
    return (prefix, rest) if colon else (suite, prefix)
