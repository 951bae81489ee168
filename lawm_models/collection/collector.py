"""Collect a corpus with a learning agent: every trajectory of its training is kept.

A round adds a trajectory, or N of them from N environments that one policy acts in together, and
trains on all so far. All randomness of trajectory k derives from (seed, k), that of a round from
its first k, and the agent is saved after every round beside the corpus, so a killed collection
that is started again continues to exactly the corpus it would have made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from lawm_schemas import ArraySpec, ConfigError, Drawing, LineageStep, Provenance, Role

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.corpus.writing.writer import CorpusWriter
from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy, VectorPolicy
from lawm_data.envs.rollout import rollout
from lawm_data.system.interrupt import deferred_interrupts
from lawm_models.collection.agent_folder import LATEST, AgentFolder, AgentRecord
from lawm_models.collection.agents import agent_config, make_agent
from lawm_models.collection.agents.dreamer import DreamerConfig
from lawm_models.collection.replay_buffer import ReplayBuffer
from lawm_models.collection.rounds import Rounds
from lawm_models.networks.policies import FilteringPolicy, noisy
from lawm_models.networks.scaling import ActionScale
from lawm_models.training.checkpoint import understood
from lawm_models.training.observing import observes_pixels, with_pixel_encoder
from lawm_models.training.seeding import thread_limit
from lawm_models.training.versions import installed_versions

if TYPE_CHECKING:
    from lawm_models.collection.agents import LearningAgent

SNAPSHOT_EVERY = 10
"""Trajectories between kept snapshots of the agent's weights; one is kept after a whole round."""

OnRound = Callable[[int, float, dict[str, float]], None]
"""Called after every round: trajectories so far, its mean return, mean metrics of the round."""


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
    pixels: int | None = None,
    drawing: Drawing | None = None,
    observe: str = "state",
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
        pixels: edge of the camera image, or none.
        drawing: how it is drawn; None as the suite itself does.
        observe: what the agent learns from, ``state``, ``pixels`` or ``pixels+state``.

    Raises:
        ConfigError: no such agent, one that the actions have no bounds for, or the folder holds a
            corpus or an agent of another collection.
    """
    config = agent_config(agent, config.model_dump(mode="json") if config else {})
    config = with_pixel_encoder(config) if observes_pixels(observe) else config
    environments = envs.make(
        task,
        num_envs=config.environments,
        action_repeat=action_repeat,
        physics=physics,
        pixels=pixels,
        drawing=drawing,
    )
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
        state=_observed(environments, observe),
        action=environments.action,
        seed=seed,
        terminates=envs.terminates(task),
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


def _observed(environments: envs.Environments, observe: str) -> tuple[ArraySpec, ...]:
    """The observations that an agent learns from.

    Raises:
        ConfigError: the environment does not show them.
    """
    words = [word.strip() for word in observe.split("+")]
    if not set(words) <= {"state", "pixels"}:
        raise ConfigError(f"is {observe!r}", "--observe", "give state, pixels or pixels+state")
    shown = environments.observations
    if "pixels" in words and not any(spec.role is Role.pixels for spec in shown):
        raise ConfigError("no pixels are drawn", f"--observe {observe}", "give --pixels 64, too")
    return tuple(spec for spec in shown if spec.role.value in words)


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
        ", ".join(map(_array, source.observations)) for source in (manifest, environments)
    )
    if there != asked:
        raise ConfigError(f"holds {there}, not {asked}", str(out), "choose another --out")
    if others or manifest.environment != environments.info:
        raise ConfigError(
            "holds trajectories of another collection", str(out), "choose another --out"
        )
    return CorpusWriter.append(out)


def _array(spec: ArraySpec) -> str:
    """An array as two collections have to have it."""
    if spec.role is not Role.pixels:
        return spec.name
    return f"{spec.name} {list(spec.shape)} drawn by {spec.drawing or 'suite'}"


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
        self.cameras = [spec.name for spec in record.state if spec.role is Role.pixels]
        self.has_state = any(spec.role is Role.state for spec in record.state)
        arrays = (record.state, record.action.size, record.terminates)
        self.rounds = Rounds(record.agent, self.agent, self.replay, arrays, processes)
        rest = folder.load(self.agent)
        if "starts" in rest:
            with understood(folder.path / LATEST):
                self.rounds.resume(*rest["starts"])

    def run(self, existing: Corpus, trajectories: int, on_round: OnRound | None) -> None:
        """Rounds until the corpus is full; recorded trajectories are replayed, not run again.

        The last round may be cut short: the agent learns from it once its other trajectories are
        there, so that a collection in pieces is the collection in one go.

        Raises:
            KeyboardInterrupt: interrupted, after a round.
        """
        total, size = max(trajectories, len(existing)), self.config.environments
        with deferred_interrupts() as interrupt:
            for first in range(0, total, size):
                places = range(first, min(first + size, total))
                if places.stop <= self.folder.rounds:
                    self._remember(existing[k] for k in places)
                    continue
                *_, model_seed, dream_seed = _streams(self.seed, first)
                whole = len(places) == size
                if whole:
                    self.rounds.begin(dream_seed)
                there = min(max(first, len(existing)), places.stop)
                made = [existing[k] for k in range(first, there)]
                made += self._collect(range(there, places.stop), first)
                metrics = self._learn(made, places, model_seed) if whole else {}
                if on_round:
                    returns = [trajectory.rewards.sum() for trajectory in made]
                    on_round(places.stop, float(np.mean(returns)), metrics)
                if interrupt.requested:
                    raise KeyboardInterrupt

    def _collect(self, places: range, first: int) -> list[Trajectory]:
        """Trajectories of the round that begins with place ``first``, committed together."""
        if not places:
            return []
        seeds = [None] * (places.start - first) + [_streams(self.seed, k)[0] for k in places]
        noise_seed = _streams(self.seed, first)[1]
        policy: VectorPolicy
        if first < self.config.random_trajectories:
            policy = RandomPolicy(self.environments.action)
        else:
            policy = agent_policy(self.agent, self.scale, deterministic=False)
        reads = self.folder.record.state if self.cameras else None
        recorded = rollout(self.environments, policy, seeds, noise_seed, reads=reads)
        for trajectory, seed in zip(recorded, seeds[places.start - first :], strict=True):
            self.writer.add(
                **trajectory,
                provenance=self.provenance,
                agent_step=updates_before(self.config, first),
                seed=seed,
            )
        self.writer.commit()
        corpus = open_corpus(self.writer.path)
        return [corpus[k] for k in places]

    def _learn(self, made: Sequence[Trajectory], places: range, seed: int) -> dict[str, float]:
        """Learn from a whole round and save the agent; returns the metrics."""
        self._remember(made)
        start, stop = (updates_before(self.config, k) for k in (places.start, places.stop))
        metrics = self.rounds.finish(stop - start, seed)
        rest = {} if self.rounds.starts is None else {"starts": self.rounds.starts}
        passed = places.stop // SNAPSHOT_EVERY > places.start // SNAPSHOT_EVERY
        self.folder.save(self.agent, places.stop, rest, snapshot=stop > start and passed)
        return metrics

    def _remember(self, trajectories: Iterable[Trajectory]) -> None:
        for trajectory in trajectories:
            assert trajectory.actions is not None
            rows = np.array(trajectory.actions, np.float32).reshape(len(trajectory), -1)
            action = self.scale.to_model(torch.from_numpy(rows))
            pixels = {name: np.array(trajectory.observations[name]) for name in self.cameras}
            state = np.array(trajectory.observations.state)
            state = state if self.has_state else state[:, :0]
            ended = bool(trajectory.terminated[-1])
            self.replay.add(state, action.numpy(), np.array(trajectory.rewards), pixels, ended)


def updates_before(config: DreamerConfig, k: int) -> int:
    """Gradient steps taken before a round that begins with trajectory ``k``, counted from 0."""
    if k < config.random_trajectories:
        return 0
    return config.first_updates + (k - config.random_trajectories) * config.updates


def build_agent(record: AgentRecord) -> tuple[LearningAgent, ActionScale]:
    """The agent of a record with fresh weights from its seed, and the scale of its actions."""
    scale = ActionScale.of(record.action)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(record.seed)
        agent = make_agent(
            record.agent, record.config, record.state, record.action.size, record.terminates
        )
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
