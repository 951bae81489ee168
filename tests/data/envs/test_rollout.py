from collections.abc import Sequence

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, EnvironmentInfo, Role

from lawm_data.envs import direct
from lawm_data.envs import suites as envs
from lawm_data.envs.policy import OpenLoopPolicy, RandomPolicy
from lawm_data.envs.rollout import RecordedTrajectory, rollout
from lawm_data.envs.suites import _suite
from lawm_data.envs.suites.dm_control import SuiteEnvironments

REPEAT = 20


@pytest.fixture(scope="module")
def cartpoles() -> envs.Environments:
    return envs.make("cartpole-swingup", num_envs=3, action_repeat=REPEAT)


def same(a: RecordedTrajectory, b: RecordedTrajectory) -> bool:
    fields = a["observations"]
    return (
        all(np.array_equal(fields[k], b["observations"][k]) for k in fields)
        and np.array_equal(a["actions"], b["actions"])
        and np.array_equal(a["rewards"], b["rewards"])
    )


def test_replaying_the_actions_gives_the_same_trajectory(cartpoles: envs.Environments) -> None:
    steps = 1000 // REPEAT
    counts: list[int] = []
    policy = RandomPolicy(cartpoles.action)
    recorded = rollout(cartpoles, policy, [4, 5, 6], progress=counts.append)
    assert counts[-1] == steps
    observations = cartpoles.reset([4, 5, 6])
    for t in range(steps):
        for i, one in enumerate(recorded):
            for name, array in observations.items():
                assert np.array_equal(one["observations"][name][t], array[i])
        step = cartpoles.step(np.stack([one["actions"][t] for one in recorded]))
        assert [one["rewards"][t] for one in recorded] == step.reward.tolist()
        observations = step.observations
    for i, one in enumerate(recorded):
        assert np.array_equal(one["observations"]["physics"][-1], observations["physics"][i])
        assert one["rewards"].shape == (steps,)
        assert one["actions"].shape == (steps, 1)
        assert (one["truncated"], one["terminated"]) == (True, False)


def test_taking_part_alone_changes_nothing(cartpoles: envs.Environments) -> None:
    policy = RandomPolicy(cartpoles.action)
    together = rollout(cartpoles, policy, [4, 5, 6], noise_seed=1)
    (alone,) = rollout(cartpoles, policy, [None, 5], noise_seed=1)
    assert same(alone, together[1])
    assert not same(alone, together[0])


def test_noise_follows_its_seed(cartpoles: envs.Environments) -> None:
    policy = RandomPolicy(cartpoles.action)
    derived, again = (rollout(cartpoles, policy, [4]) for _ in range(2))
    (other,) = rollout(cartpoles, policy, [4], noise_seed=1)
    assert same(derived[0], again[0])
    assert not same(derived[0], other)


class Looking:
    """The same actions, one step at a time."""

    def __init__(self, action: ArraySpec) -> None:
        policy = RandomPolicy(action)
        self.start, self.act = policy.start, policy.act


@pytest.mark.parametrize("repeat", [1, 2, 3, 7])
@pytest.mark.parametrize("task", direct.tasks())
def test_all_actions_at_once_give_the_numbers_of_stepping(task: str, repeat: int) -> None:
    environments = envs.make(task, num_envs=3, action_repeat=repeat)
    environments.steps_per_episode = 60
    assert environments.at_once
    assert not isinstance(Looking(environments.action), OpenLoopPolicy)
    seeds = [3, None, 2**32 - 1]
    whole = rollout(environments, RandomPolicy(environments.action), seeds)
    after = environments.step(np.zeros((3, *environments.action.shape), np.float32))
    stepped = rollout(environments, Looking(environments.action), seeds)
    again = environments.step(np.zeros((3, *environments.action.shape), np.float32))
    assert all(map(same, whole, stepped))
    assert len(whole) == len(stepped) == 2
    for name, array in after.observations.items():
        assert np.array_equal(array, again.observations[name])
    assert np.array_equal(after.reward, again.reward)


class SecondAtRest(SuiteEnvironments):
    """Its second environment starts where lqr ends."""

    def reset(self, seeds: Sequence[int | None]) -> dict[str, np.ndarray]:
        observations = super().reset(seeds)
        physics = self._envs[1].physics
        physics.set_state(np.zeros_like(physics.get_state()))
        physics.forward()
        return observations


class Still:
    """Never acts."""

    def start(self, num_envs: int, seed: int) -> None:
        self.shape = (num_envs, 1)

    def act(self, observation: np.ndarray) -> np.ndarray:
        return np.zeros(self.shape)


def test_trajectories_end_where_they_terminate() -> None:
    task = "lqr-lqr_2_1"
    environments = SecondAtRest(task, _suite.load(task), 2, 100, None)
    long, short = rollout(environments, Still(), [0, 1])
    assert (long["terminated"], long["truncated"], len(long["rewards"])) == (False, True, 10)
    assert (short["terminated"], short["truncated"], len(short["rewards"])) == (True, False, 1)
    assert len(short["observations"]["position"]) == 2
    assert len(short["actions"]) == 1


class Broken(Still):
    """Fails at its third step."""

    def start(self, num_envs: int, seed: int) -> None:
        super().start(num_envs, seed)
        self.calls = 0

    def act(self, observation: np.ndarray) -> np.ndarray:
        self.calls += 1
        return np.full(self.shape, np.inf if self.calls == 3 else 0)


def test_actions_that_are_not_finite_are_refused(cartpoles: envs.Environments) -> None:
    with pytest.raises(ConfigError, match=r"cartpole-swingup, step 2: .* not finite"):
        rollout(cartpoles, Broken(), [0, 1, 2])


class Blind(envs.Copies):
    """Copies that end when they have observed nothing finite, where they may."""

    def __init__(self, ends: bool) -> None:
        self.ends = ends
        observations = (ArraySpec(name="a", shape=(2,)), ArraySpec(name="b", shape=(1,)))
        action = ArraySpec(name="action", shape=(1,), role=Role.action)
        info = EnvironmentInfo(suite="mine", task="blind", action_repeat=1)
        super().__init__(observations, action, info, [None, None], 4)

    def _start(self, i: int, seed: int) -> float:
        return 0.0

    def _advance(self, i: int, action: np.ndarray, repeats: int) -> envs.Advance:
        broken = i == 1 and self.steps_done == 2
        return envs.Advance(0.0, np.nan if broken else 0.0, self.ends and broken, False)

    def _write(self, observations: dict[str, np.ndarray], i: int, observation: float) -> None:
        observations["b"][i] = observation


class Proud(Still):
    """Acts on what it sees, which has to be finite."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        assert np.isfinite(observation).all()
        return super().act(observation)


def test_observations_that_are_not_finite_are_refused_before_anybody_acts() -> None:
    where = "blind, step 2, copy 1: the environment's b is not finite"
    with pytest.raises(ConfigError, match=where):
        rollout(Blind(ends=False), Proud(), [0, 1])


def test_what_an_ended_copy_observes_stops_no_other() -> None:
    long, short = rollout(Blind(ends=True), Proud(), [0, 1])
    assert (len(long["rewards"]), len(short["rewards"])) == (4, 2)
    assert np.isnan(short["observations"]["b"][-1])
