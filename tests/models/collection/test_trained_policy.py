"""An agent that collected acts again, as it is now or as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError
from small_agents import RECORD, STATE

from lawm_models.collection.agent_folder import AgentFolder
from lawm_models.collection.collector import build_agent
from lawm_models.collection.trained_policy import load_policy, load_snapshot, snapshots

SEEN = np.ones((2, 5), np.float32)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """An agent of twelve rounds, with a snapshot of the tenth."""
    folder = AgentFolder.open(tmp_path / "c.agent", RECORD)
    agent, _ = build_agent(RECORD)
    folder.save(agent, 10, {}, snapshot=True)
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter.mul_(1.5)
    folder.save(agent, 12, {})
    return tmp_path / "c.agent"


def acts(policy) -> np.ndarray:
    policy.start(2, 0)
    return np.stack([policy.act(SEEN) for _ in range(3)])


def test_the_newest_policy_acts(kept: Path) -> None:
    policy = load_policy(kept)
    assert (policy.name, policy.state, policy.environment) == ("dreamer", STATE, RECORD.environment)
    np.testing.assert_array_equal(acts(policy.actor), acts(load_policy(kept).actor))
    noisy = load_policy(kept, deterministic=False)
    assert not np.array_equal(acts(policy.actor), acts(noisy.actor))


def test_a_snapshot_acts_as_it_did_then(kept: Path) -> None:
    record, known = snapshots(kept)
    assert record == RECORD
    # two random trajectories, then three updates, then two after each further one
    assert {name: snapshot.agent_step for name, snapshot in known.items()} == {"00010": 19}
    then = load_snapshot(kept, "00010", deterministic=True)
    now = load_policy(kept)
    assert known["00010"].weights != now.weights
    assert not np.array_equal(acts(then), acts(now.actor))


def test_who_has_learned_nothing_has_no_policy(tmp_path: Path) -> None:
    AgentFolder.open(tmp_path / "new.agent", RECORD)
    with pytest.raises(ConfigError, match=r"has learned nothing yet.*; let it collect"):
        load_policy(tmp_path / "new.agent")
    with pytest.raises(ConfigError, match=r"holds no collecting agent; give the OUT\.agent"):
        snapshots(tmp_path)
