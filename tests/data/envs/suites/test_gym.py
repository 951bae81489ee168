"""Gymnasium environments: collected from by name, and recorded by the wrapper."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from lawm_schemas import ArraySpec, ConfigError, Provenance, Role, StorageError

from lawm_data import CorpusWriter, RecordTrajectories, open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.envs import suites as envs
from lawm_data.envs.convert import nearest
from lawm_data.envs.policy import RandomPolicy
from lawm_data.envs.rollout import rollout
from lawm_data.envs.spaces import action_spec, observation_parts
from lawm_data.recording.collect import collect

IDS = ("CartPole-v1", "Pendulum-v1", "Blackjack-v1")


@pytest.mark.parametrize("task", IDS)
def test_rollouts_are_gymnasiums_own(task: str) -> None:
    environments = envs.make(f"gym:{task}", num_envs=2, action_repeat=1)
    policy = RandomPolicy(environments.action)
    first, second = rollout(environments, policy, [3, 4])
    assert len(first["rewards"]) != len(second["rewards"]) or task != "CartPole-v1"
    for seed, made in ((3, first), (4, second)):
        env = gymnasium.make(task)
        parts = observation_parts(env.observation_space, task, single=True)
        observation, _ = env.reset(seed=seed)
        for t, action in enumerate(made["actions"]):
            for part in parts:
                assert np.array_equal(made["observations"][part.spec.name][t], part.of(observation))
            given = action.item() if action.ndim == 0 else action
            assert env.action_space.contains(given)
            observation, reward, terminated, truncated, _ = env.step(given)
            assert made["rewards"][t] == np.float32(reward)
        last = t == len(made["actions"]) - 1
        assert last
        assert (made["terminated"], made["truncated"]) == (terminated, truncated)
        assert terminated or truncated


def test_a_time_limit_truncates_and_a_fall_terminates() -> None:
    pole, pendulum = (envs.make(f"gym:{task}", action_repeat=1) for task in IDS[:2])
    (fallen,) = rollout(pole, RandomPolicy(pole.action), [0])
    (timed,) = rollout(pendulum, RandomPolicy(pendulum.action), [0])
    assert (fallen["terminated"], fallen["truncated"]) == (True, False)
    assert (timed["terminated"], timed["truncated"]) == (False, True)
    assert len(timed["rewards"]) == pendulum.steps_per_episode == 200


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


def test_a_collected_corpus_is_exact_and_resumes(tmp_path: Path) -> None:
    def gather(path: Path, *counts: int) -> Any:
        environments = envs.make("gym:CartPole-v1", num_envs=2, action_repeat=1)
        writer = CorpusWriter.create(
            path,
            observations=environments.observations,
            action=environments.action,
            environment=environments.info,
        )
        with writer:
            for count in counts:
                policy = RandomPolicy(environments.action)
                collect(environments, policy, writer, count, 0, Provenance(source="random"))
        return open_corpus(path)

    whole, parts = gather(tmp_path / "a", 5), gather(tmp_path / "b", 3, 5)
    assert whole.fingerprint == parts.fingerprint
    assert whole.manifest.action.dtype == "int64"
    assert set(np.concatenate([t.actions for t in whole])) == {0, 1}
    assert not list(validate(tmp_path / "a"))
    info = whole.manifest.environment
    assert (info.suite, info.task, info.control_timestep) == ("gym", "CartPole-v1", 0.02)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("gym:CartPole-v9", "nearest ids: CartPole-v1"),
        ("gym:os:CartPole-v1", "is not registered"),
        ("gym:", "is not registered"),
    ],
)
def test_only_registered_ids_are_made(task: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        envs.make(task)


def test_whole_numbers_are_the_nearest_within_the_bounds() -> None:
    discrete = ArraySpec(
        name="action", shape=(), dtype="int64", role=Role.action, low=(0.0,), high=(3.0,)
    )
    given = np.array([[-4.0], [0.49], [0.51], [2.6], [9.0]], np.float32)
    assert nearest(given, discrete, "test").tolist() == [0, 0, 1, 3, 3]
    drawn = RandomPolicy(discrete).act(np.zeros((4000, 1)))
    assert np.bincount(drawn.astype(int)).min() > 850  # the ends are not half as likely


class Robot(gymnasium.Env):
    """Two joints, a camera and a gripper; an episode ends after a given number of steps."""

    def __init__(self, terminates: bool = True) -> None:
        self.observation_space = spaces.Dict(
            {
                "joints": spaces.Box(-4, 4, (2,), np.float64),
                "cam": spaces.Box(0, 255, (8, 9, 3), np.uint8),
                "grip": spaces.Tuple((spaces.Discrete(3), spaces.MultiBinary(2))),
            }
        )
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self._terminates = terminates

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self._t = 0
        self._length = (options or {}).get("length", 4)
        return self._look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self._t += 1
        over = self._t == self._length
        return self._look(), 0.5, over and self._terminates, over and not self._terminates, {}

    def _look(self) -> Any:
        camera = self.np_random.integers(0, 256, (8, 9, 3), dtype=np.uint8)
        grip = (np.int64(self._t % 3), np.array([1, self._t % 2], np.int8))
        return {"joints": np.array([self._t, 1 / 3]), "cam": camera, "grip": grip}


def drive(env: gymnasium.Env, *lengths: int, seed: int = 0) -> list[np.ndarray]:
    """Random actions; returns them."""
    rng, made = np.random.default_rng(seed), []
    for i, length in enumerate(lengths):
        env.reset(seed=i, options={"length": length})
        made.append(rng.uniform(-1, 1, (length, 2)).astype(np.float32))
        for action in made[-1]:
            env.step(action)
    return made


@pytest.mark.parametrize("terminates", [True, False])
def test_the_recorder_keeps_everything(terminates: bool, tmp_path: Path) -> None:
    with RecordTrajectories(Robot(terminates), tmp_path / "corpus") as env:
        actions = drive(env, 4, 1, 6)
    corpus = open_corpus(tmp_path / "corpus")
    assert not list(validate(tmp_path / "corpus"))
    assert [len(t) for t in corpus] == [4, 1, 6]
    for i, (one, given) in enumerate(zip(corpus, actions, strict=True)):
        assert np.array_equal(one.actions, given)
        assert one.observations["joints"].dtype == np.float64
        assert one.observations["joints"][:, 0].tolist() == list(range(len(one) + 1))
        assert one.observations["grip.0"].tolist() == [t % 3 for t in range(len(one) + 1)]
        assert one.observations["cam"].shape == (len(one) + 1, 8, 9, 3)
        assert (one.info.terminated, one.info.truncated) == (terminates, not terminates)
        assert one.info.seed == i
        assert one.info.metadata == {"options": {"length": len(one)}}
    assert corpus.manifest.lineage[0].settings == {"environment": "Robot"}
    assert corpus.manifest.environment is None


def test_unknown_actions_are_missing_and_not_zeros(tmp_path: Path) -> None:
    with RecordTrajectories(Robot(), tmp_path / "none", record_actions=False) as env:
        drive(env, 3)
    (none,) = open_corpus(tmp_path / "none")
    assert none.actions is None
    with RecordTrajectories(Robot(), tmp_path / "some") as env:
        env.reset(options={"length": 3})
        for action in (np.ones(2, np.float32), None, np.zeros(2, np.float32)):
            env.step(action)
    (some,) = open_corpus(tmp_path / "some")
    assert some.action_observed.tolist() == [True, False, True]


def test_what_was_going_on_is_kept_and_a_session_goes_on(tmp_path: Path) -> None:
    for session in range(2):
        with RecordTrajectories(Robot(), tmp_path / "corpus", every=100) as env:
            env.reset(seed=session)
            env.step(np.zeros(2, np.float32))
            env.reset(seed=10 + session)
            env.step(np.zeros(2, np.float32))
            env.reset()
    corpus = open_corpus(tmp_path / "corpus")
    assert [len(t) for t in corpus] == [1] * 4
    assert not any(t.info.terminated or t.info.truncated for t in corpus)


def test_actions_outside_of_the_space_are_refused_before_they_are_done(tmp_path: Path) -> None:
    with RecordTrajectories(Robot(), tmp_path / "corpus") as env:
        env.reset()
        env.step(np.zeros(2, np.float32))
        for action in (np.full(2, 1.5), np.full(2, np.nan), np.zeros(3), "left"):
            with pytest.raises(ConfigError):
                env.step(action)
        for _ in range(3):
            env.step(np.zeros(2, np.float32))
        with pytest.raises(ConfigError, match="call reset first"):
            env.step(np.zeros(2, np.float32))
    assert [len(t) for t in open_corpus(tmp_path / "corpus")] == [4]


def test_another_environment_and_a_second_recorder_are_refused(tmp_path: Path) -> None:
    first = RecordTrajectories(Robot(), tmp_path / "corpus")
    with pytest.raises(StorageError, match="is writing"):
        RecordTrajectories(Robot(), tmp_path / "corpus")
    first.close()
    with pytest.raises(ConfigError, match="other arrays"):
        RecordTrajectories(gymnasium.make("Pendulum-v1"), tmp_path / "corpus")
    with RecordTrajectories(Robot(), tmp_path / "corpus"):
        pass


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Dict({"a": spaces.Box(-1, 1)})])
def test_spaces_that_are_no_actions_are_refused(space: Any) -> None:
    with pytest.raises(ConfigError, match="action space"):
        action_spec(space, "here")


KILLED = """
import os, signal, sys
import gymnasium, numpy as np
from lawm_data import RecordTrajectories
env = RecordTrajectories(gymnasium.make("CartPole-v1"), "corpus", every=2)
for seed in range(5):
    env.reset(seed=seed)
    while not env.step(np.int64(1))[2]:
        pass
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_recorder_loses_only_what_it_had_not_committed(tmp_path: Path) -> None:
    environment = dict(os.environ)
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, env=environment)
    assert done.returncode == -signal.SIGKILL
    assert not list(validate(tmp_path / "corpus"))
    corpus = open_corpus(tmp_path / "corpus")
    assert len(corpus) == 4
    assert corpus.manifest.environment.task == "CartPole-v1"
    with RecordTrajectories(gymnasium.make("CartPole-v1"), tmp_path / "corpus") as env:
        env.reset(seed=9)
        env.step(0)
    assert len(open_corpus(tmp_path / "corpus")) == 5
