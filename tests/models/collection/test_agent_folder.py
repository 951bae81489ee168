"""An agent is kept beside its corpus, and comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lawm_schemas import ConfigError
from small_agents import RECORD

from lawm_models.collection.agent_folder import AgentFolder
from lawm_models.collection.collector import build_agent


def weights(agent: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().ravel() for p in agent.parameters()])


def altered(agent: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter.add_(1)
    return agent


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    folder = AgentFolder.open(tmp_path / "c.agent", RECORD)
    agent, _ = build_agent(RECORD)
    assert folder.load(agent) == {}  # nothing yet
    folder.save(altered(agent), 3, {"draws": torch.arange(3)})
    again = AgentFolder.read(tmp_path / "c.agent")
    assert (again.rounds, again.record) == (3, RECORD)
    fresh, _ = build_agent(RECORD)
    assert not torch.equal(weights(fresh), weights(agent))
    rest = again.load(fresh)
    assert rest["draws"].tolist() == [0, 1, 2]
    assert torch.equal(weights(fresh), weights(agent))


def test_snapshots_are_kept_in_the_order_of_their_rounds(tmp_path: Path) -> None:
    folder = AgentFolder.open(tmp_path / "c.agent", RECORD)
    agent, _ = build_agent(RECORD)
    first = weights(agent)
    folder.save(agent, 5, {}, snapshot=True)
    folder.save(altered(agent), 100000, {}, snapshot=True)
    folder.save(altered(agent), 100001, {})
    assert folder.snapshots() == ["00005", "100000"]
    folder.load(agent, "00005")
    assert torch.equal(weights(agent), first)


def test_another_agent_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "c.agent"
    assert AgentFolder.check(path, RECORD) == 0
    agent, _ = build_agent(RECORD)
    AgentFolder.open(path, RECORD).save(agent, 2, {})
    assert AgentFolder.check(path, RECORD) == 2
    for change in ({"seed": 1}, {"config": {**RECORD.config, "updates": 9}}):
        other = RECORD.model_copy(update=change)
        with pytest.raises(ConfigError, match=rf"\({next(iter(change))} differs\); choose another"):
            AgentFolder.open(path, other)
    assert AgentFolder.read(path).rounds == 2
