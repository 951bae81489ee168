"""The wrapper that records a Gymnasium environment."""

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
from lawm_schemas import ConfigError, StorageError

from lawm_data import RecordTrajectories, open_corpus
from lawm_data.corpus.integrity.validate import validate


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
