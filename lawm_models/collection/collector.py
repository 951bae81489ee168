"""Collect a corpus with a learning agent: every trajectory of its training is kept.

Round k adds trajectory k and trains on all so far. All randomness of a round derives from
(seed, k), and the agent is saved after every round beside the corpus, so a killed collection that
is started again continues to exactly the corpus it would have made.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from lawm_schemas import ConfigError, LineageStep, Provenance

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.corpus.writer import CorpusWriter
from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy, VectorPolicy
from lawm_data.envs.rollout import rollout
from lawm_data.system.interrupt import deferred_interrupts
from lawm_models.collection.agent_folder import AgentFolder, AgentRecord
from lawm_models.collection.agents import agent_config, make_agent
from lawm_models.collection.agents.dreamer import DreamerConfig
from lawm_models.collection.replay_buffer import ReplayBuffer
from lawm_models.collection.rounds import Rounds
from lawm_models.networks.policies import FilteringPolicy, noisy
from lawm_models.networks.scaling import ActionScale
from lawm_models.training.seeding import thread_limit
from lawm_models.training.versions import installed_versions

if TYPE_CHECKING:
    from lawm_models.collection.agents import LearningAgent

SNAPSHOT_EVERY = 10
"""Rounds between kept snapshots of the agent's weights."""

OnRound = Callable[[int, float, dict[str, float]], None]
"""Called after every round: trajectories so far, the last return, mean metrics of the round."""


def agent_folder(out: Path) -> Path:
    """Where the agent that collects ``out`` lives: beside it, never inside."""
    return out.with_name(out.name + ".agent")


def collect_learning(
    agent: str,
    task: str,
    out: Path,
    trajectories: int,
    seed: int,
    action_repeat: int = 2,
    config: DreamerConfig | None = None,
    on_round: OnRound | None = None,
    processes: int = 2,
    physics: bool = True,
) -> None:
    """Collect until the corpus at ``out`` holds ``trajectories``; continues an earlier call.

    Args:
        agent: kind of agent, one of ``AGENTS``.
        task: a task, as ``lawm_data.envs.suites.make`` takes it.
        out: corpus folder; the agent is kept in ``OUT.agent``.
        trajectories: size of the corpus when done.
        seed: the one seed.
        action_repeat: control steps per recorded step.
        config: of the agent; None takes the defaults.
        on_round: called after every round.
        processes: 2 dreams in a second process, 1 in this one; the corpus is the same.
        physics: record the simulator's state.

    Raises:
        ConfigError: no such agent, one that the actions have no bounds for, or the folder holds a
            corpus or an agent of another collection.
    """
    config = agent_config(agent, config.model_dump(mode="json") if config else {})
    environments = envs.make(task, num_envs=1, action_repeat=action_repeat, physics=physics)
    if environments.action.bounds() is None:
        hint = "collect with --agent random"
        raise ConfigError(f"has actions without bounds, and {agent} needs some", task, hint)
    provenance = Provenance(
        source=agent,
        agent=agent,
        seed=seed,
        origin="training",
        versions=installed_versions(),
        settings=config.model_dump(mode="json"),
    )
    record = AgentRecord(
        agent=agent,
        config=config.model_dump(mode="json"),
        environment=environments.info,
        state=tuple(s for s in environments.observations if s.role == "state"),
        action=environments.action,
        seed=seed,
    )
    learned = AgentFolder.check(agent_folder(out), record)
    recorded = len(open_corpus(out)) if (out / "corpus.json").exists() else 0
    if recorded < learned:
        raise ConfigError(
            f"the agent has learned from {learned} trajectories, the corpus has {recorded}",
            str(out),
            "restore the corpus, or remove both to start again",
        )
    with _writer(out, environments, provenance) as writer:
        folder = AgentFolder.open(agent_folder(out), record)
        existing = open_corpus(out)
        collection = _Collection(environments, writer, provenance, folder, config, seed, processes)
        try:
            # the networks are small: a second thread would cost more than it brings
            with thread_limit(1):
                collection.run(existing, trajectories, on_round)
        finally:
            collection.rounds.close()


def _writer(out: Path, environments: envs.Environments, provenance: Provenance) -> CorpusWriter:
    if not out.exists():
        step = LineageStep(operation="collect", settings={"agent": provenance.agent})
        return CorpusWriter.create(
            out,
            observations=environments.observations,
            action=environments.action,
            environment=environments.info,
            lineage=(step,),
        )
    manifest = open_corpus(out).manifest
    others = [known for known in manifest.provenance if not _same_collection(known, provenance)]
    there, asked = (
        ", ".join(spec.name for spec in source.observations) for source in (manifest, environments)
    )
    if there != asked:
        raise ConfigError(f"holds {there}, not {asked}", str(out), "choose another --out")
    if others or manifest.environment != environments.info:
        raise ConfigError(
            "holds trajectories of another collection", str(out), "choose another --out"
        )
    return CorpusWriter.append(out)


def _same_collection(known: Provenance, asked: Provenance) -> bool:
    """Whether trajectories of this origin may go on as those of that one."""
    if (known.source, known.seed) != (asked.source, asked.seed):
        return False
    # what an earlier version did not know yet has its default
    settings = agent_config(asked.source, known.settings).model_dump(mode="json")
    return settings == asked.settings


class _Collection:
    """One collection: environment, agent, replay and writer."""

    def __init__(
        self,
        environments: envs.Environments,
        writer: CorpusWriter,
        provenance: Provenance,
        folder: AgentFolder,
        config: DreamerConfig,
        seed: int,
        processes: int,
    ) -> None:
        self.environments, self.writer, self.provenance = environments, writer, provenance
        self.folder, self.config, self.seed = folder, config, seed
        self.agent, self.scale = build_agent(folder.record)
        self.replay = ReplayBuffer(config.window)
        record = folder.record
        arrays = (record.state, record.action.size)
        self.rounds = Rounds(record.agent, self.agent, self.replay, arrays, processes)
        rest = folder.load(self.agent)
        if "starts" in rest:
            self.rounds.starts = rest["starts"]

    def run(self, existing: Corpus, trajectories: int, on_round: OnRound | None) -> None:
        """Rounds until the corpus is full; recorded trajectories are replayed, not run again.

        Raises:
            KeyboardInterrupt: interrupted, after a round.
        """
        with deferred_interrupts() as interrupt:
            for k in range(max(trajectories, len(existing))):
                if k < self.folder.rounds:
                    self._remember(existing[k])
                    continue
                *_, model_seed, dream_seed = _streams(self.seed, k)
                self.rounds.begin(dream_seed)
                trajectory = existing[k] if k < len(existing) else self._collect(k)
                self._remember(trajectory)
                updates = updates_before(self.config, k + 1) - updates_before(self.config, k)
                metrics = self.rounds.finish(updates, model_seed)
                rest = {} if self.rounds.starts is None else {"starts": self.rounds.starts}
                snapshot = updates > 0 and (k + 1) % SNAPSHOT_EVERY == 0
                self.folder.save(self.agent, k + 1, rest, snapshot)
                if on_round:
                    on_round(k + 1, float(trajectory.rewards.sum()), metrics)
                if interrupt.requested:
                    raise KeyboardInterrupt

    def _collect(self, k: int) -> Trajectory:
        env_seed, noise_seed, *_ = _streams(self.seed, k)
        policy: VectorPolicy
        if k < self.config.random_trajectories:
            policy = RandomPolicy(self.environments.action)
        else:
            policy = agent_policy(self.agent, self.scale, deterministic=False)
        policy.start(1, noise_seed)
        (recorded,) = rollout(self.environments, policy, [env_seed], noise_seed)
        self.writer.add(
            **recorded,
            provenance=self.provenance,
            agent_step=updates_before(self.config, k),
            seed=env_seed,
        )
        self.writer.commit()
        return open_corpus(self.writer.path)[k]

    def _remember(self, trajectory: Trajectory) -> None:
        assert trajectory.actions is not None
        action = self.scale.to_model(torch.from_numpy(np.array(trajectory.actions)))
        state = np.array(trajectory.observations.state)
        self.replay.add(state, action.numpy(), np.array(trajectory.rewards))


def updates_before(config: DreamerConfig, k: int) -> int:
    """Gradient steps taken before trajectory ``k`` (counted from 0) is collected."""
    if k < config.random_trajectories:
        return 0
    return config.first_updates + (k - config.random_trajectories) * config.updates


def build_agent(record: AgentRecord) -> tuple[LearningAgent, ActionScale]:
    """The agent of a record with fresh weights from its seed, and the scale of its actions."""
    scale = ActionScale.of(record.action)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(record.seed)
        agent = make_agent(record.agent, record.config, record.state, record.action.size)
    return agent, scale


def agent_policy(agent: LearningAgent, scale: ActionScale, deterministic: bool) -> FilteringPolicy:
    """The agent as a policy: its mode, or a sample with its own exploration noise."""
    actor = agent.agent
    if deterministic:
        return FilteringPolicy(agent.world, scale, lambda state, _: actor.mode(state.feature))
    choose = noisy(lambda feature, noise: actor.draw(feature, noise).value, actor.policy_dim)
    return FilteringPolicy(agent.world, scale, choose)


def _streams(seed: int, k: int) -> tuple[int, ...]:
    """Independent seeds of round k: environment reset, policy noise, model, dreams."""
    return tuple(int(s) for s in np.random.SeedSequence((seed, k)).generate_state(4))
