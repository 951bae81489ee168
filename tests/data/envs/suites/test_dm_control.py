"""The suite's environments step as the suite does."""

import subprocess
import sys

import numpy as np
import pytest
from lawm_schemas import ConfigError

from lawm_data.envs import suites as envs
from lawm_data.envs.suites import _suite
from lawm_data.envs.suites.dm_control import SuiteEnvironments

# Two underscored domains, fields with two axes, activations, bounds that are not ±1.
TASKS = ("ball_in_cup-catch", "manipulator-bring_ball", "humanoid_CMU-run", "quadruped-walk")


def random_actions(environments: envs.Environments, steps: int) -> np.ndarray:
    bounds = environments.action.bounds() or (-1, 1)
    size = (steps, environments.num_envs, *environments.action.shape)
    return np.random.default_rng(0).uniform(*bounds, size).astype(np.float32)


@pytest.mark.parametrize("task", TASKS)
def test_steps_are_the_suites_own(task: str) -> None:
    require_the_suites_own(task, steps=4)


def test_steps_of_every_domain_are_the_suites_own() -> None:
    _suite.load(TASKS[0])  # imports dm_control without its warnings
    for domain, (name, *_) in sys.modules["dm_control.suite"].TASKS_BY_DOMAIN.items():
        require_the_suites_own(f"{domain}-{name}", steps=2)


def require_the_suites_own(task: str, steps: int) -> None:
    """Observations, physics, rewards and ends are those of ``env.step``, bit for bit."""
    first = _suite.load(task)
    environments = SuiteEnvironments(task, first, num_envs=1, action_repeat=3, pixels=None)
    observations = environments.reset([6])
    suite = _suite.load(task)
    suite.task.random.seed(6)
    time_step = suite.reset()
    for chosen in random_actions(environments, steps):
        for key, value in time_step.observation.items():
            wanted = np.float32(value).reshape(observations[key][0].shape)
            assert np.array_equal(observations[key][0], wanted), (task, key)
        assert np.array_equal(observations["physics"][0], suite.physics.get_state()), task
        reward = 0.0
        for _ in range(3):
            time_step = suite.step(chosen[0])
            reward += time_step.reward
        observations, given, terminated, truncated = environments.step(chosen)
        assert given[0] == np.float32(reward), task
        assert not terminated.any()
        assert not truncated.any()


def test_terminal_states_terminate_and_the_others_go_on() -> None:
    environments = SuiteEnvironments("lqr-lqr_2_1", _suite.load("lqr-lqr_2_1"), 2, 2, None)
    environments.reset([0, 1])
    physics = environments._envs[1].physics
    physics.set_state(np.zeros_like(physics.get_state()))
    physics.forward()
    none = np.zeros((2, 1), np.float32)
    step = environments.step(none)
    assert step.terminated.tolist() == [False, True]
    assert step.reward[1] == 1  # one control step only: the repeat stops at the end
    after = environments.step(none)
    assert after.terminated.tolist() == [False, True]
    assert not after.truncated.any()
    assert after.reward[1] == 0
    assert after.reward[0] != 0


def test_missing_dm_control_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dm_control.suite", None)
    with pytest.raises(ConfigError, match=r'pip install "lawm\[dm-control\]"'):
        envs.make("walker-walk")


HEADLESS = """
import os, warnings
warnings.simplefilter("error")
for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
    os.environ.pop(name, None)
before = dict(os.environ)
from lawm_data.envs import suites as envs
from lawm_schemas import ConfigError
import numpy as np
environments = envs.make("walker-walk")
environments.reset([0])
environments.step(np.zeros((1, 6), np.float32))
try:
    environments.render(0, 8, 8)
except ConfigError as error:
    print(error)
assert os.environ == before
"""


def test_states_need_no_display_and_pictures_say_so() -> None:
    run = subprocess.run([sys.executable, "-c", HEADLESS], capture_output=True, text=True)
    expected = (
        "walker-walk: cannot render: there is no display; set MUJOCO_GL=egl or MUJOCO_GL=osmesa\n"
    )
    assert (run.stdout, run.stderr) == (expected, "")
