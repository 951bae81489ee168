import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, LawmError, Role

from lawm_data.envs import suites as envs
from lawm_data.envs.suites import _errors, _suite
from lawm_data.envs.suites.dm_control import SuiteEnvironments

# Two underscored domains, fields with two axes, activations, bounds that are not ±1.
TASKS = ("ball_in_cup-catch", "manipulator-bring_ball", "humanoid_CMU-run", "quadruped-walk")


def random_actions(environments: envs.Environments, steps: int) -> np.ndarray:
    bounds = environments.action.bounds()
    assert bounds is not None
    size = (steps, environments.num_envs, *environments.action.shape)
    return np.random.default_rng(0).uniform(*bounds, size).astype(np.float32)


@pytest.mark.parametrize("task", TASKS)
def test_steps_are_the_suites_own(task: str) -> None:
    environments = envs.make(task, num_envs=2, action_repeat=3)
    observations = environments.reset([5, 6])
    actions = random_actions(environments, 4)
    domain, _, name = task.partition("-")
    suite = _suite.load(task)  # also imports dm_control without its warnings
    suite = sys.modules["dm_control.suite"].load(domain, name, task_kwargs={"random": 6})
    time_step = suite.reset()
    for chosen in actions:
        for key, value in time_step.observation.items():
            assert np.array_equal(observations[key][1], np.float32(value).reshape(-1)) or (
                np.array_equal(observations[key][1], np.float32(value))
            )
        assert np.array_equal(observations["physics"][1], suite.physics.get_state())
        reward = 0.0
        for _ in range(3):
            time_step = suite.step(chosen[1])
            reward += time_step.reward
        observations, given, terminated, truncated = environments.step(chosen)
        assert given[1] == np.float32(reward)
        assert not terminated.any()
        assert not truncated.any()


@pytest.mark.parametrize("task", ["walker-walk", *TASKS])
def test_arrays_are_what_the_specs_say(task: str) -> None:
    environments = envs.make(task, num_envs=2)
    observations = environments.reset([0, 1])
    assert list(observations) == [spec.name for spec in environments.observations]
    for spec in environments.observations:
        assert observations[spec.name].shape == (2, *spec.shape)
        assert observations[spec.name].dtype == spec.dtype
    width = sum(s.size for s in environments.observations if s.role is Role.state)
    state = environments.state(observations)
    assert state.shape == (2, width)
    assert state.dtype == np.float32


def test_scalars_have_one_element_and_names_are_the_suites() -> None:
    specs = envs.make("walker-walk").observations
    shapes = {spec.name: spec.shape for spec in specs}
    assert shapes == {"orientations": (14,), "height": (1,), "velocity": (9,), "physics": (18,)}


@pytest.mark.parametrize("direct", [True, False])
def test_a_seed_is_an_episode_whatever_came_before(direct: bool) -> None:
    environments = envs.make("cartpole-swingup", num_envs=2, direct=direct)
    first = environments.reset([3, 4])
    environments.step(np.ones((2, 1), np.float32))
    again = environments.reset([4, 3])
    for name in first:
        assert np.array_equal(first[name], again[name][::-1])
        assert not np.array_equal(first[name][0], first[name][1])


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("action_repeat", [300, 400, 1000])
def test_the_time_limit_truncates(direct: bool, action_repeat: int) -> None:
    environments = envs.make("cartpole-balance", action_repeat=action_repeat, direct=direct)
    assert environments.steps_per_episode == -(-1000 // action_repeat)
    environments.reset([0])
    total = 0.0
    for t in range(environments.steps_per_episode):
        last = environments.step(np.zeros((1, 1), np.float32))
        total += float(last.reward[0])
        assert last.truncated[0] == (t == environments.steps_per_episode - 1)
        assert not last.terminated[0]
    # All 1000 control steps count, also where the repeat does not divide them.
    whole = envs.make("cartpole-balance", action_repeat=1, direct=True)
    whole.reset([0])
    rewards = [whole.step(np.zeros((1, 1), np.float32)).reward[0] for _ in range(1000)]
    assert total == pytest.approx(sum(map(float, rewards)), rel=1e-5)
    after = environments.step(np.ones((1, 1), np.float32))
    assert after.reward[0] == 0
    assert after.truncated[0]
    assert np.array_equal(after.observations["physics"], last.observations["physics"])


@pytest.mark.parametrize("direct", [True, False])
def test_idle_environments_hold_still(direct: bool) -> None:
    environments = envs.make("cartpole-swingup", num_envs=3, direct=direct)
    observations = environments.reset([None, 7])
    assert environments.state(observations)[[0, 2]].any() == np.False_
    step = environments.step(np.ones((3, 1), np.float32))
    assert np.array_equal(step.observations["physics"][[0, 2]], observations["physics"][[0, 2]])
    assert not np.array_equal(step.observations["physics"][1], observations["physics"][1])
    assert (step.reward > 0).tolist() == [False, True, False]


def test_returned_arrays_are_not_written_again() -> None:
    for direct in (True, False):
        environments = envs.make("cartpole-swingup", direct=direct)
        observations = environments.reset([0])
        kept = {name: array.copy() for name, array in observations.items()}
        first = environments.step(np.ones((1, 1), np.float32))
        flags = first.truncated.copy()
        while not environments.step(np.ones((1, 1), np.float32)).truncated.all():
            pass
        assert all(np.array_equal(observations[name], kept[name]) for name in kept)
        assert np.array_equal(first.truncated, flags)


@pytest.mark.parametrize("direct", [True, False])
def test_what_was_returned_is_the_callers_to_change(direct: bool) -> None:
    environments = envs.make("cartpole-swingup", num_envs=2, direct=direct)
    for array in environments.reset([0]).values():
        array.fill(7)
    for _ in range(2):
        step = environments.step(np.zeros((2, 1), np.float32))
        assert not environments.state(step.observations)[1].any()
        for array in (*step.observations.values(), step.truncated, step.terminated):
            array.fill(True)


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


def test_actions_without_bounds_have_none() -> None:
    assert envs.make("lqr-lqr_2_1").action.bounds() is None
    assert envs.make("quadruped-walk").action.high == (1.0, 1.1, 0.8) * 4


def test_info_is_enough_to_make_it_again() -> None:
    info = envs.make("hopper-hop", action_repeat=4).info
    again = envs.make(info.task, suite=info.suite, action_repeat=info.action_repeat)
    assert again.info == info
    assert info.max_return == 1000
    assert info.control_timestep == pytest.approx(0.02)


@pytest.mark.parametrize("direct", [True, False])
def test_a_diverging_simulation_is_one_error(direct: bool) -> None:
    environments = envs.make("cartpole-swingup", action_repeat=1000, direct=direct)
    environments.reset([0])
    actions = np.full((1, 1), np.nan, np.float32)
    with pytest.raises(LawmError, match=r"cartpole-swingup: the simulation diverged; "):
        environments.step(actions)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "walker_walk"}, "walker_walk: unknown environment; nearest names: walker-walk"),
        ({"task": "swingup"}, "cartpole-swingup"),
        ({"task": "walker"}, "walker-"),
        ({"task": ""}, "unknown environment"),
        ({"task": "pendulum-swingup", "direct": True}, "cannot be stepped directly; can: cartpole"),
        (
            {"task": "walker-walk", "suite": "dm_contrl"},
            "no suite 'dm_contrl'; it is dm_control:walker-walk",
        ),
        ({"task": "walker-walk", "suite": "direct"}, "no suite"),
        ({"task": "gymn:Pendulum-v1"}, "gymn:Pendulum-v1: no suite 'gymn'; it is gym:Pendulum-v1"),
        ({"task": "Pendulum-v1"}, "Pendulum-v1: unknown environment; it is gym:Pendulum-v1"),
        (
            {"task": "gym:walker-walk"},
            "gym:walker-walk: is not registered.*; it is dm_control:walk",
        ),
        ({"task": "walker-walk", "suite": "_suite"}, "no suite"),
        ({"task": "walker-walk", "num_envs": 0}, "num_envs: 0 is below 1"),
        ({"task": "walker-walk", "action_repeat": 0}, "action_repeat: 0 is below 1"),
        ({"task": "walker-walk", "pixels": 0}, "pixels: 0 is below 1"),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        envs.make(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("direct", [True, False])
def test_wrong_shapes_are_refused(direct: bool) -> None:
    environments = envs.make("cartpole-swingup", num_envs=2, direct=direct)
    with pytest.raises(ConfigError, match="3 seeds for 2 environments"):
        environments.reset([0, 1, 2])
    for seed in (-1, 2**32):
        with pytest.raises(ConfigError, match=f"seed {seed} is out of range"):
            environments.reset([0, seed])
    environments.reset([0, 1])
    with pytest.raises(ConfigError, match=r"shape \(2, 2\), expected \(2, 1\)"):
        environments.step(np.zeros((2, 2), np.float32))


def test_missing_dm_control_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dm_control.suite", None)
    with pytest.raises(ConfigError, match=r'pip install "lawm\[dm-control\]"'):
        envs.make("walker-walk")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (AttributeError("'MjModel' object has no attribute 'flex_vertedge'"), "mujoco>=3.17,<4"),
        (AttributeError("'NoneType' object has no attribute 'glGetError'"), "MUJOCO_GL=disable"),
        (ImportError("Cannot initialize a EGL device display."), "MUJOCO_GL=disable"),
    ],
)
def test_what_dm_control_says_is_turned_into_a_mend(error: Exception, message: str) -> None:
    with pytest.raises(ConfigError, match=message), _errors.loading("walker-walk"):
        raise error


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(AttributeError, match="oops"), _errors.loading("walker-walk"):
        raise AttributeError("oops")
    with pytest.raises(RuntimeError, match="oops"), _errors.simulating("walker-walk"):
        raise RuntimeError("oops")


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


def test_pixels_are_a_spec_like_any_other() -> None:
    specs = _suite.observation_specs(_suite.load("walker-walk"), 64)
    expected = ArraySpec(name="pixels", shape=(64, 64, 3), dtype="uint8", role=Role.pixels)
    assert specs[-1] == expected


@given(
    st.sampled_from(["walker-walk", "dm_control:walker-walk", "gym:Pendulum-v1"]), st.integers(1, 4)
)
def test_a_name_means_the_same_to_collect_and_to_what_declares_it(name: str, repeat: int) -> None:
    assert envs.named_environment(name, repeat) == envs.make(name, action_repeat=repeat).info


@pytest.mark.parametrize("name", ["gym:Pendulum-v9", "walkr-walk", "gymn:Pendulum-v1", "", 7, None])
def test_a_wrong_name_is_no_environment(name: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        envs.named_environment(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("repeat", [0, -1, 1.5, "two"])
def test_an_environment_has_a_whole_action_repeat(repeat: Any) -> None:
    with pytest.raises(ConfigError, match="action_repeat"):
        envs.named_environment("walker-walk", repeat)
