"""Environments: one file per suite, looked up by name and loaded when asked for."""

from __future__ import annotations

import difflib
from importlib import import_module
from pkgutil import iter_modules

from lawm_schemas import ConfigError

from lawm_data.envs.suites._protocol import Environments as Environments
from lawm_data.envs.suites._protocol import Step as Step

ACTION_REPEAT = 2
"""Control steps for each recorded step of dm_control, when nobody says otherwise."""


def suites() -> tuple[str, ...]:
    """Names of the suites: the public modules of this folder."""
    found = iter_modules(__path__)
    return tuple(m.name for m in found if not m.ispkg and not m.name.startswith("_"))


def require_task(task: str, suite: str = "dm_control") -> None:
    """Refuse a task that the suite does not have; makes nothing.

    Raises:
        ConfigError: no such task, or the suite's package is missing.
    """
    suite, task = split_task(task, suite)
    import_module(f"{__name__}.{suite}").require_task(task)


def make(
    task: str,
    *,
    suite: str = "dm_control",
    num_envs: int = 1,
    action_repeat: int = 2,
    pixels: int | None = None,
    physics: bool = True,
    direct: bool | None = None,
) -> Environments:
    """Make N copies of one task, stepped in lockstep.

    Args:
        task: task within the suite, e.g. ``walker-walk``; or ``SUITE:TASK``, e.g.
            ``gym:CartPole-v1``.
        suite: one of ``suites()``.
        num_envs: N, number of copies.
        action_repeat: control steps per step; their rewards are summed.
        pixels: edge in pixels of a square camera image to observe, or none.
        physics: observe the simulator's state, too.
        direct: step the simulator without the suite's Python layer; none does so where it can.

    Raises:
        ConfigError: suite or task is unknown, its package is missing, or a number is out of range.
    """
    suite, task = split_task(task, suite)
    if suite not in suites():
        near = difflib.get_close_matches(suite, suites(), n=1, cutoff=0.0)
        raise ConfigError(f"unknown suite {suite!r}", "suite", f"try {', '.join(near)}")
    for name, number in (("num_envs", num_envs), ("action_repeat", action_repeat)):
        if number < 1:
            raise ConfigError(f"{number} is below 1", name, "give 1 or more")
    if pixels is not None and pixels < 1:
        raise ConfigError(f"{pixels} is below 1", "pixels", "give the edge of the image, e.g. 64")
    module = import_module(f"{__name__}.{suite}")
    return module.make(task, num_envs, action_repeat, pixels, physics, direct)


def split_task(task: str, suite: str = "dm_control") -> tuple[str, str]:
    """Suite and task of ``SUITE:TASK``; without a suite in front, the one that is given."""
    prefix, colon, rest = task.partition(":")
    return (prefix, rest) if colon and prefix in suites() else (suite, task)


def usual_repeat(task: str) -> int:
    """Control steps per recorded step when nobody says: Gymnasium's steps are taken as they are."""
    return 1 if split_task(task)[0] == "gym" else ACTION_REPEAT
