"""What the recorder keeps is what was done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from lawm_schemas import ConfigError, CorpusError, Provenance, StorageError

from lawm_data import CorpusWriter, RecordTrajectories, open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.envs import suites
from lawm_data.inspection.replay import reproduce
from lawm_data.recording.collect import collect


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


@pytest.mark.parametrize(
    ("task", "settings", "named"),
    [
        ("Pendulum-v1", {}, True),
        ("FrozenLake-v1", {}, True),  # registered with settings
        ("Blackjack-v1", {}, True),
        ("Pendulum-v1", {"max_episode_steps": 40}, False),
        ("Pendulum-v1", {"g": 9.81}, False),
        ("FrozenLake-v1", {"map_name": "8x8"}, False),
        ("FrozenLake-v1", {"desc": ["SF", "FG"]}, False),
    ],
    ids=str,
)
def test_an_environment_is_named_where_its_id_alone_makes_it(
    task: str, settings: dict, named: bool, tmp_path: Path
) -> None:
    with RecordTrajectories(gymnasium.make(task, **settings), tmp_path / "corpus") as env:
        env.reset(seed=0)
        env.step(env.action_space.sample())
    environment = open_corpus(tmp_path / "corpus").manifest.environment
    assert (environment and environment.task) == (task if named else None)


def test_a_wrapper_makes_another_environment(tmp_path: Path) -> None:
    pendulum = gymnasium.make("Pendulum-v1")
    for name, made in (
        ("wrapped", gymnasium.wrappers.RescaleAction(pendulum, -1, 1)),
        ("unlimited", pendulum.unwrapped),
    ):
        with RecordTrajectories(made, tmp_path / name) as env:
            env.reset(seed=0)
            env.step(env.action_space.sample())
        assert open_corpus(tmp_path / name).manifest.environment is None


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
    assert not [f for f in validate(tmp_path / "corpus") if f.severity == "error"]
    corpus = open_corpus(tmp_path / "corpus")
    assert len(corpus) == 4
    assert corpus.manifest.environment.task == "CartPole-v1"
    with RecordTrajectories(gymnasium.make("CartPole-v1"), tmp_path / "corpus") as env:
        env.reset(seed=9)
        env.step(0)
    assert len(open_corpus(tmp_path / "corpus")) == 5


@pytest.mark.parametrize("seed", [0, 2**63, 2**64 - 1, np.uint64(2**63 + 5)])
def test_seeds_of_64_bits_are_recorded(seed: int, tmp_path: Path) -> None:
    with RecordTrajectories(gymnasium.make("CartPole-v1"), tmp_path / "corpus") as env:
        env.reset(seed=int(seed))
        env.step(np.int64(1))
    assert [t.info.seed for t in open_corpus(tmp_path / "corpus")] == [int(seed)]


def test_a_seed_that_cannot_be_kept_is_refused_before_the_reset(tmp_path: Path) -> None:
    with RecordTrajectories(gymnasium.make("CartPole-v1"), tmp_path / "corpus") as env:
        env.reset(seed=1)
        env.step(np.int64(1))
        with pytest.raises(CorpusError, match=r"out of range; give .* 2\*\*64 - 1"):
            env.reset(seed=2**64)
        env.step(np.int64(1))
    assert [len(t) for t in open_corpus(tmp_path / "corpus")] == [2]


class Logging(gymnasium.Env):
    """Keeps what it is stepped with, and then spoils it, as some environments do."""

    observation_space = spaces.Box(-1, 1, (1,))

    def __init__(self, space: Any) -> None:
        self.action_space = space
        self.done: list[np.ndarray] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.done.append(np.array(action))
        if isinstance(action, np.ndarray):
            action *= 0
        return np.zeros(1, np.float32), 0.0, False, False, {}


SPACES = {
    "float32": spaces.Box(-1, 1, (2,)),
    "float64": spaces.Box(-1, 1, (2,), np.float64),
    "whole": spaces.Box(-3, 3, (2,), np.int32),
    "discrete": spaces.Discrete(5, start=-2),
    "several": spaces.MultiDiscrete([3, 4]),
    "switches": spaces.MultiBinary(3),
}
GIVEN: dict[str, Callable[[Any], Any]] = {
    "float32": lambda action: np.asarray(action, np.float32),
    "float64": lambda action: np.asarray(action, np.float64),
    "list": lambda action: np.asarray(action).tolist(),
    "int64": lambda action: np.asarray(action).astype(np.int64),
    "a row": lambda action: np.asarray(action)[None],
}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", GIVEN)
def test_what_is_recorded_is_what_was_done(space: str, kind: str, tmp_path: Path) -> None:
    env, rng = Logging(SPACES[space]), np.random.default_rng(0)
    env.action_space.seed(0)
    with RecordTrajectories(env, tmp_path / "corpus") as recorder:
        recorder.reset()
        for _ in range(20):
            action = env.action_space.sample()
            if space.startswith("float"):
                action = rng.uniform(-1, 1, 2)  # as policies in NumPy give them
            recorder.step(GIVEN[kind](action))
    (trajectory,) = open_corpus(tmp_path / "corpus")
    for stored, done in zip(trajectory.actions, env.done, strict=True):
        assert np.array_equal(stored, done)
        assert stored.shape == done.shape


@pytest.mark.parametrize("space", ["whole", "discrete", "several", "switches"])
def test_actions_that_rounding_would_change_are_refused(space: str, tmp_path: Path) -> None:
    env = Logging(SPACES[space])
    with RecordTrajectories(env, tmp_path / "corpus") as recorder:
        recorder.reset()
        with pytest.raises(ConfigError, match="whole numbers of the space"):
            recorder.step(np.full(env.action_space.shape, 0.5))
    assert env.done == []


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_recorded_actions_lead_to_the_recorded_observations(kind: type, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with RecordTrajectories(gymnasium.make("Pendulum-v1"), tmp_path / "corpus") as env:
        env.reset(seed=3)
        for _ in range(200):
            env.step(rng.uniform(-2, 2, 1).astype(kind))
    (trajectory,) = open_corpus(tmp_path / "corpus")
    again = gymnasium.make("Pendulum-v1")
    again.reset(seed=3)
    for t, action in enumerate(trajectory.actions):
        observation, reward, *_ = again.step(action)
        assert np.array_equal(observation, trajectory.observations.state[t + 1])
        assert np.float32(reward) == trajectory.rewards[t]


class Double:
    """A policy in NumPy's own type."""

    def start(self, num_envs: int, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def act(self, observation: np.ndarray) -> np.ndarray:
        return self._generator.uniform(-1, 1, (len(observation), 6))


@pytest.mark.parametrize("direct", [True, False])
def test_a_policy_of_doubles_is_recorded_as_it_acted(direct: bool, tmp_path: Path) -> None:
    envs = suites.make("cheetah-run", direct=direct)
    envs.steps_per_episode = 50
    with CorpusWriter.create(
        tmp_path / "corpus",
        observations=envs.observations,
        action=envs.action,
        environment=envs.info,
    ) as writer:
        collect(envs, Double(), writer, 2, 0, Provenance(source="double"))
    result = reproduce(tmp_path / "corpus", direct=direct)
    assert (result.replayed, result.exact) == (2, 2)
