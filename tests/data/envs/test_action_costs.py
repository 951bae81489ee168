"""Which rewards tell something of the action is what the suite's own rewards say."""

from __future__ import annotations

import numpy as np
import pytest
from dm_control import suite
from lawm_schemas import EnvironmentInfo

from lawm_data.envs.action_costs import costs_action

TASKS = [pair for pair in suite.BENCHMARKING if pair[0] not in ("humanoid", "manipulator")]
STATES = 30


def looks_at_action(domain: str, task: str) -> bool:
    """Whether another control in the same state is rewarded otherwise, in some of many states."""
    env, generator = suite.load(domain, task, task_kwargs={"random": 0}), np.random.default_rng(0)
    physics, spec = env.physics, env.action_spec()
    for _ in range(STATES):
        env.reset()
        for _ in range(3):
            env.step(generator.uniform(spec.minimum, spec.maximum))
        if domain == "cartpole":  # hanging poles are paid nothing, whatever the control is
            with physics.reset_context():
                physics.data.qpos[1:] = generator.normal(0, 0.1, len(physics.data.qpos) - 1)
        rewards = []
        for share in (0.0, 1.0):
            physics.set_control(spec.maximum * share)
            rewards.append(env.task.get_reward(physics))
        if rewards[0] != rewards[1]:
            return True
    return False


@pytest.mark.parametrize(("domain", "task"), TASKS)
def test_tasks_of_the_suite(domain: str, task: str) -> None:
    info = EnvironmentInfo(suite="dm_control", task=f"{domain}-{task}")
    assert costs_action(info) == looks_at_action(domain, task)


@pytest.mark.parametrize("task", ["HalfCheetah-v5", "Pendulum-v1", "CartPole-v1"])
def test_environments_of_gymnasium(task: str) -> None:
    info = EnvironmentInfo(suite="gym", task=task)
    assert costs_action(info) == (task != "CartPole-v1")
    assert not costs_action(EnvironmentInfo(suite="robot", task=task))
    assert not costs_action(None)
