"""The policy of a training run, or of an agent that collected a corpus, ready to act again."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lawm_schemas import ConfigError

from lawm_models.acting.policy import Policy
from lawm_models.collection.agent_folder import LATEST, RECORD, SNAPSHOTS, AgentFolder, AgentRecord
from lawm_models.collection.collector import agent_policy, build_agent, updates_before
from lawm_models.networks.policies import StepPolicy
from lawm_models.runs.run import load_run
from lawm_models.training.checkpoint import model_sha256


class Snapshot(NamedTuple):
    """What is known of a snapshot without loading it."""

    agent_step: int
    """Gradient steps it had taken."""
    weights: str
    """Hash of its weights."""


def load_policy(path: Path | str, *, deterministic: bool = True) -> Policy:
    """The newest policy in a run folder, or in the ``OUT.agent`` of a collection.

    Args:
        path: the folder.
        deterministic: act without noise.

    Raises:
        ConfigError: the folder is neither, or has learned no policy, or nothing yet.
    """
    path = Path(path)
    if (path / RECORD).exists():
        return _of_agent(path, deterministic)
    return load_run(path).policy(deterministic=deterministic)


def _of_agent(path: Path, deterministic: bool) -> Policy:
    folder = AgentFolder.read(path)
    if not folder.rounds:
        raise ConfigError("this agent has learned nothing yet", str(path), "let it collect first")
    agent, scale = build_agent(folder.record)
    folder.load(agent)
    record = folder.record
    return Policy(
        agent_policy(agent, scale, deterministic),
        name=record.agent,
        weights=model_sha256(path / LATEST),
        state=record.state,
        action=record.action,
        environment=record.environment,
        deterministic=deterministic,
    )


def snapshots(path: Path) -> tuple[AgentRecord, dict[str, Snapshot]]:
    """The agent of a collection and its snapshots by name, in order.

    Raises:
        ConfigError: the folder holds no collecting agent.
    """
    if not (path / RECORD).exists():
        hint = "give the OUT.agent beside a corpus that an agent collected while it learned"
        raise ConfigError("holds no collecting agent", str(path), hint)
    folder = AgentFolder.read(path)
    config = build_agent(folder.record)[0].config
    return folder.record, {
        name: Snapshot(updates_before(config, int(name)), model_sha256(path / SNAPSHOTS / name))
        for name in folder.snapshots()
    }


def load_snapshot(path: Path, name: str, deterministic: bool) -> StepPolicy:
    """The policy of one snapshot."""
    folder = AgentFolder.read(path)
    agent, scale = build_agent(folder.record)
    folder.load(agent, name)
    return agent_policy(agent, scale, deterministic)
