"""A body that is stepped directly, held to the suite's own environment."""

from collections.abc import Callable

import numpy as np
import pytest

from lawm_data.envs import direct
from lawm_data.envs.direct._body import Body
from lawm_data.envs.suites import _suite

EPISODES, STEPS = 12, 20


def body_of(task: str, suite) -> tuple[Body, np.ndarray, np.ndarray]:
    """The body, the action that it reads and the observation that it writes."""
    kind = direct.find(task, required=True)
    assert kind is not None
    model = suite.physics.model.ptr
    width, start = kind.layout(model)
    action, row = np.zeros(model.nu), np.zeros(width)
    return kind(model, _suite.substeps(suite), action, row), action, row[start:]


def require_same(task: str, scatter: Callable) -> None:
    """Rewards and observations are the suite's at every step.

    Args:
        task: which.
        scatter: ``scatter(physics, rng)`` moves a state that was reset to where rewards are to be
            had, on either side of every bound in them.
    """
    suite = _suite.load(task)
    body, control, observed = body_of(task, suite)
    rng = np.random.default_rng(0)
    rewards = []
    for episode in range(EPISODES):
        _suite.reset(suite, task, episode)
        with suite.physics.reset_context():
            scatter(suite.physics, rng)
        body.start(suite.physics.data.ptr)
        size = rng.uniform(0, 1.5)  # also beyond the bounds, where MuJoCo clips and rewards do not
        for _ in range(STEPS):
            action = rng.uniform(-size, size, len(control)).astype(np.float32)
            control[:] = action
            time_step = suite.step(action)
            reward = body.advance(1)
            body.observe()
            assert reward == pytest.approx(time_step.reward, abs=1e-9)
            values = np.concatenate([np.ravel(v) for v in time_step.observation.values()])
            np.testing.assert_allclose(observed, values, rtol=1e-12, atol=1e-12)
            rewards.append(reward)
    assert min(rewards) < 0.6  # the states were worth comparing
    assert max(rewards) > 0.8


def upright(physics, rng: np.random.Generator, slowest: float, fastest: float) -> None:
    """Bent joints, at any speed in metres per second."""
    physics.data.qpos[3:] += rng.uniform(-0.3, 0.3, physics.model.nq - 3)
    physics.named.data.qvel["rootx"] = rng.uniform(slowest, fastest)
