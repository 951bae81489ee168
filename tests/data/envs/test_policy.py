"""Random actions."""

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_data.envs.policy import RandomPolicy

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


def test_without_bounds_there_is_nothing_to_draw_from() -> None:
    with pytest.raises(ConfigError, match="the action has no bounds"):
        RandomPolicy(ArraySpec(name="action", shape=(2,), role=Role.action))
