"""Where a collecting agent is kept: its record, its state after every round, its snapshots."""

from __future__ import annotations

from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lawm_schemas import ArraySpec, Checksummed, ConfigError, EnvironmentInfo

from lawm_data.system.atomic import own_folder, storage_errors, write_file
from lawm_models.collection.agents import agent_config
from lawm_models.training.checkpoint import (
    load_module,
    load_optimizers,
    load_state,
    remove_leftovers,
    save_checkpoint,
    understood,
)

if TYPE_CHECKING:
    from lawm_models.collection.agents import LearningAgent

RECORD = "agent.json"
LATEST = "latest"
SNAPSHOTS = "snapshots"


class AgentRecord(Checksummed):
    """``agent.json``: what the agent is and where it acts."""

    agent: str
    """Kind of agent, one of ``AGENTS``."""
    config: dict[str, Any]
    """Its configuration, complete."""
    environment: EnvironmentInfo
    """Where it acts."""
    state: tuple[ArraySpec, ...]
    """What it reads, in order: state fields, or cameras, or both."""
    action: ArraySpec
    """Its action."""
    seed: int
    """Seed of the collection."""
    terminates: bool = False
    """Whether a trajectory can end in a terminal state, which it then learns to foresee."""


class AgentFolder:
    """``OUT.agent``: ``agent.json``, ``latest/`` and ``snapshots/ROUND/``.

    Attributes:
        path: the folder.
        record: what the agent is.
        rounds: rounds that the latest state has learned from.
    """

    def __init__(self, path: Path, record: AgentRecord) -> None:
        self.path = path
        self.record = record
        self.rounds = 0
        if (path / LATEST).exists():
            state = load_state(path / LATEST)
            with understood(path / LATEST):
                self.rounds = index(state["rounds"])

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open an existing agent."""
        return cls(path, AgentRecord.read_json(path / RECORD))

    @classmethod
    def check(cls, path: Path, record: AgentRecord) -> int:
        """Rounds that the agent in this folder has learned from; 0 where there is none.

        Raises:
            ConfigError: the folder holds another agent.
        """
        if not (path / RECORD).exists():
            return 0
        found = cls.read(path)
        # what an earlier version did not know yet has its default
        config = agent_config(found.record.agent, found.record.config).model_dump(mode="json")
        known = found.record.model_copy(update={"config": config})
        known = known.model_copy(update={"terminates": record.terminates})
        odd = [n for n in AgentRecord.model_fields if getattr(known, n) != getattr(record, n)]
        if odd:
            what = f"holds another agent ({odd[0]} differs)"
            raise ConfigError(what, str(path), "choose another --out")
        return found.rounds

    @classmethod
    def open(cls, path: Path, record: AgentRecord) -> Self:
        """Open an agent to go on with, or start one; only under the lock of its corpus.

        Raises:
            ConfigError: the folder holds another agent.
        """
        cls.check(path, record)
        if (path / RECORD).exists():
            # one that an earlier version began without foreseeing ends goes on so
            begun = cls.read(path).record
            record = record.model_copy(update={"terminates": begun.terminates})
        else:
            with storage_errors(path):
                path.mkdir(parents=True, exist_ok=True)
            write_file(path / RECORD, record.to_json().encode())
        for parent in (path, path / SNAPSHOTS):
            if parent.is_dir() and not parent.is_symlink():
                remove_leftovers(parent)
        return cls(path, record)

    def snapshots(self) -> list[str]:
        """Names of the kept snapshots, in the order of their rounds."""
        folder = self.path / SNAPSHOTS
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return sorted((name for name in names if name.isdecimal()), key=int)

    def load(self, agent: LearningAgent, snapshot: str | None = None) -> dict[str, Any]:
        """Load the latest state, when there is one, or the weights of a snapshot.

        Returns:
            What was saved beside the weights; empty for a new agent.
        """
        if snapshot is not None:
            load_module(self.path / SNAPSHOTS / snapshot, agent)
            return load_state(self.path / SNAPSHOTS / snapshot)
        if not self.rounds:
            return {}
        load_module(self.path / LATEST, agent)
        load_optimizers(self.path / LATEST, agent.optimizers())
        return load_state(self.path / LATEST)

    def save(
        self, agent: LearningAgent, rounds: int, rest: dict[str, Any], snapshot: bool = False
    ) -> None:
        """Save the agent after a round; with ``snapshot`` also keep its weights.

        Args:
            agent: weights and optimisers.
            rounds: trajectories it has learned from.
            rest: whatever else resuming needs, plain values and tensors.
            snapshot: keep a copy of the weights under ``snapshots/``.
        """
        state = {"rounds": rounds}
        if snapshot:
            own_folder(self.path / SNAPSHOTS)
            save_checkpoint(self.path / SNAPSHOTS / f"{rounds:05d}", agent, {}, state)
        save_checkpoint(self.path / LATEST, agent, agent.optimizers(), {**state, **rest})
        self.rounds = rounds
