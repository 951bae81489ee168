"""The two halves of a round of learning do not wait for each other, and change no number."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from small_agents import CONFIG, RECORD, STATE

from lawm_models.collection.collector import build_agent
from lawm_models.collection.replay_buffer import ReplayBuffer
from lawm_models.collection.rounds import Rounds, dream_round


@pytest.fixture
def rounds() -> Rounds:
    draws, replay = np.random.default_rng(0), ReplayBuffer(CONFIG.window)
    for _ in range(3):
        arrays = (draws.normal(size=shape).astype(np.float32) for shape in ((13, 5), (12, 1), 12))
        replay.add(*arrays)
    agent, _ = build_agent(RECORD)
    return Rounds("dreamer", agent, replay, (STATE, 1), processes=1)


def parts(rounds: Rounds) -> tuple[torch.Tensor, torch.Tensor]:
    """All weights of the world model, and of actor and critics."""
    agent = rounds.agent
    return tuple(
        torch.cat([p.detach().ravel() for p in part.parameters()])
        for part in (agent.world, agent.agent)
    )


def test_the_first_round_has_nothing_to_dream_from(rounds: Rounds) -> None:
    world, agent = parts(rounds)
    rounds.begin(0)
    metrics = rounds.finish(2, 1)
    after_world, after_agent = parts(rounds)
    assert not torch.equal(after_world, world)
    assert torch.equal(after_agent, agent)
    assert all(np.isfinite(value) for value in metrics.values())
    assert rounds.starts is not None
    assert [len(part) for part in rounds.starts] == [2, 2]


def test_dreams_see_the_agent_as_it_was_when_they_began(rounds: Rounds) -> None:
    rounds.finish(1, 1)
    rounds.begin(5)
    task = rounds._task
    assert task is not None
    expected = dream_round(copy.deepcopy(task))
    rounds.finish(3, 2)  # trains the world model before the dreams are dreamt
    for name, value in rounds.agent.agent.state_dict().items():
        torch.testing.assert_close(value, expected.weights[name], rtol=0, atol=0)


def test_a_dream_depends_on_its_task_alone(rounds: Rounds) -> None:
    rounds.finish(1, 1)
    rounds.begin(5)
    task = rounds._task
    assert task is not None
    first = dream_round(task)
    torch.rand(7)
    again, other = dream_round(task), dream_round(task._replace(seed=6))
    assert first.metrics == again.metrics != other.metrics
    for name, value in first.weights.items():
        assert torch.equal(value, again.weights[name])
