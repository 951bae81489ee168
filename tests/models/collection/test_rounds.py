"""The two halves of a round of learning do not wait for each other, and change no number."""

from __future__ import annotations

import copy
import multiprocessing
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_agents import CONFIG, RECORD, STATE

from lawm_models.collection.collector import build_agent
from lawm_models.collection.replay_buffer import ReplayBuffer
from lawm_models.collection.rounds import Rounds, dream_round


def fresh(processes: int) -> Rounds:
    draws, replay = np.random.default_rng(0), ReplayBuffer(CONFIG.window)
    for _ in range(3):
        arrays = (draws.normal(size=shape).astype(np.float32) for shape in ((13, 5), (12, 1), 12))
        replay.add(*arrays)
    agent, _ = build_agent(RECORD)
    return Rounds("dreamer", agent, replay, (STATE, 1, False), processes)


@pytest.fixture
def rounds() -> Rounds:
    return fresh(processes=1)


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


def test_only_states_of_the_agent_itself_are_gone_on_from(rounds: Rounds) -> None:
    rounds.finish(2, 1)
    assert rounds.starts is not None
    deter, stoch = rounds.starts
    for wrong in (
        (deter[:1], stoch),
        (deter, stoch[..., 1:]),
        (stoch, deter),
        (deter.double(), stoch),
    ):
        with pytest.raises(ValueError, match="start states of"):
            rounds.resume(*wrong)
    assert rounds.starts == (deter, stoch)
    rounds.resume(deter, stoch)


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


def learned(rounds: Rounds, kill: Callable[[int], bool]) -> dict[str, torch.Tensor]:
    """The weights after four rounds; the second process is killed while some of them dream."""
    try:
        for k in range(4):
            rounds.begin(10 + k)
            if kill(k):
                for child in multiprocessing.active_children():
                    child.kill()
            rounds.finish(2, k)
    finally:
        rounds.close()
    return rounds.agent.state_dict()


@pytest.mark.slow
def test_a_second_process_that_dies_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    expected = learned(fresh(processes=1), lambda _: False)
    found = learned(fresh(processes=2), lambda k: k == 2)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert not list(tmp_path.iterdir())  # a killed collection could not remove it


@pytest.mark.slow
def test_a_second_process_ends_with_the_first() -> None:
    code = "from test_rounds import wait_with_a_second_process as wait; wait()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"both are there\n"
        process.kill()
        process.communicate(timeout=60)  # to the end of its output, which both hold open


def wait_with_a_second_process() -> None:
    """To be killed."""
    rounds = fresh(processes=2)
    for k in range(2):
        rounds.begin(10 + k)
        rounds.finish(1, k)
    assert multiprocessing.active_children()
    print("both are there", flush=True)
    sys.stdin.read()
