"""Environments whose reward is known to contain the action, such as a cost of control."""

from __future__ import annotations

import re

from lawm_schemas import EnvironmentInfo

DM_CONTROL = re.compile(
    r"cartpole-(balance|swingup|two_poles|three_poles)|hopper-stand"
    r"|(humanoid|humanoid_CMU|lqr|point_mass)-.*"
)
"""Tasks of the suite that look at ``physics.control()`` when they reward."""
GYM = re.compile(
    r"(.*[/:])?(Ant|HalfCheetah|Hopper|Humanoid|HumanoidStandup|Pusher|Reacher|Swimmer|Walker2d"
    r"|Pendulum|MountainCarContinuous|BipedalWalker|BipedalWalkerHardcore"
    r"|LunarLander|LunarLanderContinuous)-v\d+"
)
"""Environments of Gymnasium with a cost of the action."""


def costs_action(environment: EnvironmentInfo | None) -> bool:
    """Whether the reward is known to tell something of the action, such as its size.

    Of other environments, and of robots, nothing is known.
    """
    if environment is None:
        return False
    known = {"dm_control": DM_CONTROL, "gym": GYM}.get(environment.suite)
    return known is not None and known.fullmatch(environment.task) is not None
