"""What holds for environments of every suite, however they are stepped."""

import numpy as np
import pytest
from lawm_schemas import ConfigError, LawmError, Role

from lawm_data.envs import suites as envs


@pytest.mark.parametrize(
    "task", ["walker-walk", "humanoid_CMU-run", "quadruped-walk", "gym:CartPole-v1"]
)
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


@pytest.mark.parametrize("direct", [True, False])
def test_a_diverging_simulation_is_one_error(direct: bool) -> None:
    environments = envs.make("cartpole-swingup", action_repeat=1000, direct=direct)
    environments.reset([0])
    actions = np.full((1, 1), np.nan, np.float32)
    with pytest.raises(LawmError, match=r"cartpole-swingup: the simulation diverged; "):
        environments.step(actions)


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
