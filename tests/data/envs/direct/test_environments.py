"""Stepping MuJoCo directly gives the suite's numbers, step by step."""

import subprocess
import sys

import numpy as np
import pytest

from lawm_data.envs import direct
from lawm_data.envs import suites as envs


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


def test_a_simulation_that_diverges_is_left_to_stepping() -> None:
    environments = envs.make("walker-walk", direct=True)
    environments.reset([0])
    size = environments.observations[-1].size
    environments.restore(0, np.full(size, 1e9))
    actions = np.zeros((1, 5, 6), np.float32)
    assert environments.open_loop(actions) is None
    environments.reset([0])
    assert environments.open_loop(actions) is not None


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


PIXELS = """
import numpy as np
from lawm_data.envs import suites as envs
from dm_control import suite
direct, other = (envs.make("cartpole-swingup", pixels=32, direct=d) for d in (True, False))
action = np.ones((1, 1), np.float32)
direct.reset([0]), other.reset([0])
for _ in range(3):
    a, b = (e.step(action).observations["pixels"] for e in (direct, other))
    assert a.shape == (1, 32, 32, 3) and a.std() > 1 and np.array_equal(a, b)
assert np.array_equal(a[0], direct.render(0, 32, 32))
reference = suite.load("cartpole", "swingup", task_kwargs={"random": 0})
reference.reset()
for _ in range(6):
    reference.step(action[0])
assert np.array_equal(a[0], reference.physics.render(32, 32, camera_id=0))
"""


def test_both_paths_draw_the_same_pictures(egl: dict[str, str]) -> None:
    run = subprocess.run([sys.executable, "-c", PIXELS], capture_output=True, text=True, env=egl)
    assert run.returncode == 0, run.stderr
