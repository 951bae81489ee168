"""Gymnasium environments, made by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from lawm_schemas import ConfigError, Provenance

from lawm_data import CorpusWriter, open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy
from lawm_data.envs.rollout import rollout
from lawm_data.envs.spaces import observation_parts
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
