"""Stepping MuJoCo directly gives the suite's numbers, step by step."""

import numpy as np
import pytest

from lawm_data.envs import direct
from lawm_data.envs import suites as envs
from lawm_data.envs.direct._body import Body
from lawm_data.envs.suites import _suite

EPISODES, STEPS = 12, 20
SPEEDS = {"walker": (0, 9), "cheetah": (-1, 12), "hopper": (0.5, 2.5)}
"""Metres per second, on either side of every bound in the rewards."""


def scatter(physics, domain: str, rng: np.random.Generator) -> None:
    """Start where rewards are to be had: upright with bent joints, at any speed."""
    data = physics.data
    if domain != "cartpole":
        data.qpos[3:] += rng.uniform(-0.3, 0.3, physics.model.nq - 3)
        physics.named.data.qvel["rootx"] = rng.uniform(*SPEEDS[domain])
    elif rng.random() < 0.3:  # anywhere
        data.qpos[:] = rng.uniform([-1, -np.pi], [1, np.pi])
        data.qvel[:] = rng.uniform(-6, 6, 2)
    else:  # about the bounds of the sparse reward
        data.qpos[:] = rng.choice([-1, 1]) * rng.uniform(0.2, 0.3), rng.uniform(-0.11, 0.11)


def body_of(task: str, suite) -> tuple[Body, np.ndarray, np.ndarray]:
    kind = direct.find(task)
    assert kind is not None
    model = suite.physics.model.ptr
    width, start = kind.layout(model)
    action, row = np.zeros(model.nu), np.zeros(width)
    return kind(model, _suite.substeps(suite), action, row), action, row[start:]


@pytest.mark.parametrize("task", direct.tasks())
def test_rewards_and_observations_are_the_suites(task: str) -> None:
    suite = _suite.load(task)
    body, control, observed = body_of(task, suite)
    rng = np.random.default_rng(0)
    rewards = []
    for episode in range(EPISODES):
        _suite.reset(suite, task, episode)
        with suite.physics.reset_context():
            scatter(suite.physics, task.partition("-")[0], rng)
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


@pytest.mark.parametrize("task", direct.tasks())
def test_both_paths_agree_through_a_random_episode(task: str) -> None:
    own, other = (envs.make(task, num_envs=2, action_repeat=2, direct=d) for d in (True, False))
    assert own.observations == other.observations
    assert own.action == other.action
    assert own.info == other.info
    seeds = [1, 2**32 - 1]
    given, expected = own.reset(seeds), other.reset(seeds)
    rng = np.random.default_rng(1)
    for _ in range(60):
        for name in expected:
            np.testing.assert_allclose(given[name], expected[name], rtol=2e-7, atol=1e-12)
        assert np.array_equal(given["physics"], expected["physics"])
        actions = rng.uniform(-1, 1, (2, *own.action.shape)).astype(np.float32)
        a, b = own.step(actions), other.step(actions)
        np.testing.assert_allclose(a.reward, b.reward, atol=1e-6)
        given, expected = a.observations, b.observations


def test_direct_is_chosen_where_there_is_one() -> None:
    names = {
        (task, choice): type(envs.make(task, direct=choice)).__name__
        for task, choice in [
            ("cheetah-run", None),
            ("cheetah-run", False),
            ("cartpole-two_poles", None),
            ("pendulum-swingup", None),
        ]
    }
    assert list(names.values()) == [
        "DirectEnvironments",
        "SuiteEnvironments",
        "SuiteEnvironments",
        "SuiteEnvironments",
    ]


def test_environments_do_not_touch_each_other() -> None:
    both = envs.make("cheetah-run", num_envs=2)
    alone = envs.make("cheetah-run", num_envs=1)
    both.reset([1, 2])
    alone.reset([2])
    rng = np.random.default_rng(0)
    for _ in range(20):
        actions = rng.uniform(-1, 1, (2, 6)).astype(np.float32)
        a, b = both.step(actions), alone.step(actions[1:])
        assert a.reward[1] == b.reward[0]
        assert np.array_equal(a.observations["physics"][1], b.observations["physics"][0])


@pytest.mark.parametrize("direct", [True, False])
def test_without_physics_the_rest_is_the_same(direct: bool) -> None:
    kinds = [
        envs.make("walker-walk", num_envs=2, physics=physics, direct=direct)
        for physics in (True, False)
    ]
    assert [s.name for s in kinds[0].observations if s.name != "physics"] == [
        s.name for s in kinds[1].observations
    ]
    actions = np.full((2, 6), 0.3, np.float32)
    for whole, rest in (
        [one.reset([1, 2]) for one in kinds],
        [one.step(actions).observations for one in kinds],
    ):
        assert set(whole) == {*rest, "physics"}
        assert all((whole[name] == rest[name]).all() for name in rest)
