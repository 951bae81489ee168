"""Random actions."""

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy
from lawm_data.envs.rollout import rollout

CONTINUOUS = ArraySpec(
    name="action", shape=(2,), role=Role.action, low=(-2.0, 0.0), high=(1.0, 9.0)
)
DISCRETE = ArraySpec(
    name="action", shape=(), dtype="int64", role=Role.action, low=(0.0,), high=(3.0,)
)


def test_actions_fill_the_bounds() -> None:
    drawn = RandomPolicy(CONTINUOUS).act(np.zeros((4000, 1), np.float32))
    assert (drawn.shape, drawn.dtype) == ((4000, 2), np.float32)
    np.testing.assert_allclose(drawn.min(0), [-2, 0], atol=0.02)
    np.testing.assert_allclose(drawn.max(0), [1, 9], atol=0.02)


def test_whole_numbers_are_equally_likely() -> None:
    drawn = RandomPolicy(DISCRETE).act(np.zeros((4000, 1)))
    assert np.bincount(drawn.astype(int)).min() > 850  # the ends are not half as likely


def test_a_seed_gives_the_same_actions_again() -> None:
    policy, seen = RandomPolicy(CONTINUOUS), np.zeros((3, 1), np.float32)
    drawn = []
    for seed in (1, 2, 1):
        policy.start(3, seed)
        drawn.append(np.stack([policy.act(seen) for _ in range(2)]))
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0][0], drawn[0][1])


@pytest.mark.parametrize(
    "spec", [CONTINUOUS, DISCRETE, ArraySpec(name="action", shape=(2, 3), role=Role.action)]
)
def test_actions_drawn_ahead_are_those_drawn_step_by_step(spec: ArraySpec) -> None:
    policy, seen = RandomPolicy(spec), np.zeros((3, 1), np.float32)
    policy.start(3, 5)
    stepped = np.stack([policy.act(seen) for _ in range(7)], axis=1)
    policy.start(3, 5)
    ahead = policy.act_ahead(7)
    assert ahead.shape == (3, 7, *spec.shape)
    assert np.array_equal(ahead, stepped)


def test_actions_without_bounds_are_drawn_from_the_standard_normal() -> None:
    spec = ArraySpec(name="action", shape=(2, 3), role=Role.action)
    policy = RandomPolicy(spec)
    policy.start(20_000, 7)
    drawn = policy.act(np.zeros((20_000, 1), np.float32))
    assert drawn.shape == (20_000, 2, 3)
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(drawn.std(0), 1, atol=0.05)
    policy.start(20_000, 7)
    assert np.array_equal(policy.act(np.zeros((20_000, 1), np.float32)), drawn)


def test_the_suite_without_bounds_is_collected_from() -> None:
    environments = envs.make("lqr-lqr_2_1", action_repeat=2)
    assert environments.action.bounds() is None
    (made,) = rollout(environments, RandomPolicy(environments.action), [3])
    assert len(made["actions"]) == 500
    assert np.abs(made["actions"]).max() > 1


def test_nothing_is_drawn_from_whole_numbers_without_bounds() -> None:
    spec = ArraySpec(name="action", shape=(), dtype="int64", role=Role.action)
    with pytest.raises(ConfigError, match="is of whole numbers without bounds"):
        RandomPolicy(spec)
