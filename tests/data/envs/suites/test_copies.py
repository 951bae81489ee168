"""Copies of an environment, stepped one after the other."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from lawm_schemas import ConfigError

from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy
from lawm_data.envs.rollout import rollout


def test_action_repeat_sums_rewards_and_divides_the_limit() -> None:
    environments = envs.make("gym:Pendulum-v1", action_repeat=3)
    assert environments.steps_per_episode == 67
    (made,) = rollout(environments, RandomPolicy(environments.action), [5])
    env = gymnasium.make("Pendulum-v1")
    env.reset(seed=5)
    total = sum(float(env.step(made["actions"][0])[1]) for _ in range(3))
    assert made["rewards"][0] == np.float32(total)
    assert len(made["rewards"]) == 67
    assert made["truncated"]


def test_idle_and_ended_copies_hold_still() -> None:
    environments = envs.make("gym:CartPole-v1", num_envs=2, action_repeat=1)
    first = environments.reset([None, 1])
    assert not first["observation"][0].any()
    for _ in range(200):
        step = environments.step(np.zeros(2, np.int64))
    assert step.terminated.tolist() == [False, True]
    assert step.reward.tolist() == [0, 0]
    assert not step.observations["observation"][0].any()


def test_without_a_physics_state_nothing_is_restored() -> None:
    environments = envs.make("gym:CartPole-v1", num_envs=2)
    environments.reset([0, 1])
    assert environments.seed_matters()
    with pytest.raises(ConfigError, match=r"keeps no physics state.*cannot be replayed"):
        environments.restore(0, np.zeros(4))
