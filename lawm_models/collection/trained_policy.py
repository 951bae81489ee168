"""The policy of a training run, or of an agent that collected a corpus, ready to act again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lawm_schemas import ArraySpec, ConfigError

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_models.acting.policy import Policy
from lawm_models.collection.agent_folder import LATEST, RECORD, SNAPSHOTS, AgentFolder, AgentRecord
from lawm_models.collection.collector import agent_policy, build_agent, updates_before
from lawm_models.networks.planning_model import PlanningModel
from lawm_models.networks.policies import StepPolicy
from lawm_models.networks.scaling import ActionScale
from lawm_models.planning.policy import planning_policy
from lawm_models.runs.run import load_run
from lawm_models.training.checkpoint import model_sha256
from lawm_models.training.experiment import data_now
from lawm_models.training.run_folder import RunFolder

if TYPE_CHECKING:
    from lawm_models.collection.agents import LearningAgent


class Trained(NamedTuple):
    """A world model that was trained, to plan in."""

    name: str
    """Of the algorithm, or kind of agent."""
    weights: str
    """Their hash."""
    model: PlanningModel
    """It reads ``reads``."""
    reads: tuple[ArraySpec, ...]
    """What is observed, in order."""
    corpora: tuple[Corpus | None, ...]
    """What it was trained on; None for what is no longer there."""
    address: str
    """Of the first one."""


class Snapshot(NamedTuple):
    """What is known of a snapshot without loading it."""

    agent_step: int
    """Gradient steps it had taken."""
    weights: str
    """Hash of its weights."""


def load_policy(
    path: Path | str,
    *,
    deterministic: bool = True,
    planner: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Policy:
    """The newest policy in a run folder, or in the ``OUT.agent`` of a collection.

    Args:
        path: the folder.
        deterministic: act without noise.
        planner: what acts instead of the learned policy, see ``Run.policy``.
        settings: of the planner.

    Raises:
        ConfigError: the folder is neither, or has learned no policy, or nothing yet.
    """
    path = Path(path)
    if (path / RECORD).exists():
        return _of_agent(path, deterministic, planner, settings)
    return load_run(path).policy(deterministic=deterministic, planner=planner, settings=settings)


def _of_agent(
    path: Path, deterministic: bool, planner: str | None, settings: Mapping[str, Any] | None
) -> Policy:
    agent, scale, record = _agent(path)
    about = {
        "name": record.agent,
        "weights": model_sha256(path / LATEST),
        "state": record.state,
        "action": record.action,
        "environment": record.environment,
    }
    if planner is not None:
        return planning_policy(agent.planning_model(scale), planner, settings, **about)
    actor = agent_policy(agent, scale, deterministic)
    return Policy(actor, deterministic=deterministic, **about)


def load_world_model(path: Path | str) -> Trained:
    """The newest world model in a run folder, or in the ``OUT.agent`` of a collection.

    Raises:
        ConfigError: the folder is neither, or has no world model.
    """
    path = Path(path)
    if (path / RECORD).exists():
        agent, scale, record = _agent(path)
        model, weights = agent.planning_model(scale), model_sha256(path / LATEST)
        beside = path.with_suffix("")
        corpus = open_corpus(beside) if beside.is_dir() else None
        return Trained(record.agent, weights, model, record.state, (corpus,), str(beside))
    run = RunFolder.open(path)
    algorithm, weights = run.trained()
    return Trained(
        run.config.algorithm.name,
        weights,
        run.planning_model(algorithm),
        run.reads(),
        data_now(run.config),
        run.config.corpora[0].path,
    )


def observed(path: Path) -> tuple[ArraySpec, ...]:
    """What the policy in a run folder, or in the ``OUT.agent`` of a collection, reads, in order.

    Raises:
        ConfigError: the folder is neither.
    """
    if (path / RECORD).exists():
        return AgentFolder.read(path).record.state
    return RunFolder.open(path).reads()


def _agent(path: Path) -> tuple[LearningAgent, ActionScale, AgentRecord]:
    """A collecting agent with its newest weights."""
    folder = AgentFolder.read(path)
    if not folder.rounds:
        raise ConfigError("this agent has learned nothing yet", str(path), "let it collect first")
    agent, scale = build_agent(folder.record)
    folder.load(agent)
    return agent, scale, folder.record


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
