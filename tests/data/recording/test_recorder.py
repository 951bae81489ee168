"""What the recorder keeps is what was done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from lawm_schemas import ConfigError, CorpusError, Provenance

from lawm_data import CorpusWriter, RecordTrajectories, open_corpus
from lawm_data.envs import suites
from lawm_data.inspection.replay import reproduce
from lawm_data.recording.collect import collect


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
