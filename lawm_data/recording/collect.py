"""Environment and policy to corpus, one rollout after another."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, Provenance

from lawm_data.corpus.writing.commit import COMMIT_BYTES
from lawm_data.corpus.writing.writer import CorpusWriter
from lawm_data.envs.policy import VectorPolicy
from lawm_data.envs.rollout import RecordedTrajectory, rollout
from lawm_data.envs.suites import Environments
from lawm_data.system.interrupt import deferred_interrupts

OnTrajectory = Callable[[int, RecordedTrajectory], None]
"""Called after every commit, per trajectory: how many there are now, and the trajectory."""

COMMIT_SECONDS = 1.0
"""Time between commits: what a killed collection loses at most, with the rollout that runs."""
RESET, NOISE = 0, 1
"""Purposes of ``derive``."""


class RolloutContext(NamedTuple):
    """What rollouts run in: environments, and the policies that act there."""

    envs: Environments
    """N environments."""
    policy: Callable[[str], VectorPolicy]
    """A policy by the name that a rollout gives."""
    reads: tuple[ArraySpec, ...] | None = None
    """What it is given, pixels among it; None for all state."""


@dataclass(frozen=True)
class Rollout:
    """Trajectories of up to N environments in lockstep; in one context always the same ones."""

    place: int
    """Place of the first trajectory in the collection."""
    seeds: tuple[int | None, ...]
    """Seed of each environment's reset; None leaves it idle."""
    noise_seed: int
    """Seed of the policy's noise."""
    policy: str = ""
    """Which of the policies acts."""
    agent_step: int | None = None
    """Its age."""

    @property
    def chosen(self) -> tuple[int, ...]:
        """The seeds of its trajectories, in order."""
        return tuple(seed for seed in self.seeds if seed is not None)

    def run(self, context: RolloutContext) -> list[RecordedTrajectory]:
        """Its trajectories."""
        policy = context.policy(self.policy)
        return rollout(context.envs, policy, self.seeds, self.noise_seed, reads=context.reads)

    def after(self, done: int) -> Rollout | None:
        """What is left of it once the collection has ``done`` trajectories."""
        gone = max(0, done - self.place)
        if gone >= len(self.chosen):
            return None
        taking_part = [i for i, seed in enumerate(self.seeds) if seed is not None]
        first = taking_part[gone]
        seeds = (None,) * first + self.seeds[first:]
        return replace(self, place=self.place + gone, seeds=seeds)


def plan(trajectories: int, num_envs: int, seed: int, done: int = 0) -> Iterator[Rollout]:
    """The rollouts from ``done`` to ``trajectories`` of one policy.

    Trajectory k always runs on environment ``k mod N``, with seeds that derive from ``seed``, k and
    N alone: collecting 100, or 40 and then up to 100, gives the same trajectories.

    Args:
        trajectories: size of the collection when done.
        num_envs: N.
        seed: the one seed.
        done: trajectories that are there already.
    """
    for number in itertools.count(done // num_envs):
        places = range(number * num_envs, min((number + 1) * num_envs, trajectories))
        if not places:
            return
        seeds = tuple(derive(seed, RESET, k) for k in places)
        whole = Rollout(places.start, seeds, derive(seed, NOISE, number))
        rest = whole.after(done)
        if rest is not None:
            yield rest


def add_rollouts(
    writer: CorpusWriter,
    rolled: Iterable[tuple[Rollout, Sequence[RecordedTrajectory]]],
    provenance: Provenance,
    on_trajectory: OnTrajectory | None = None,
) -> None:
    """Add trajectories to a corpus and commit after a rollout once a second; Ctrl-C waits for that.

    Args:
        writer: an open writer; it stays open.
        rolled: rollouts and their trajectories.
        provenance: what to remember of the source.
        on_trajectory: called after every commit.

    Raises:
        CorpusError: a trajectory does not fit the corpus's specs.
        StorageError: the file system refused; what was committed stays.
        KeyboardInterrupt: interrupted, after a commit.
    """
    untold: list[tuple[int, RecordedTrajectory]] = []

    def commit() -> float:
        writer.commit()
        for told in untold:
            if on_trajectory is not None:
                on_trajectory(*told)
        untold.clear()
        return time.monotonic()

    with deferred_interrupts() as interrupt:
        committed = time.monotonic()
        try:
            for done, trajectories in rolled:
                known = {"provenance": provenance, "agent_step": done.agent_step}
                for trajectory, seed in zip(trajectories, done.chosen, strict=True):
                    writer.add(**trajectory, **known, seed=seed)
                    untold.append((writer.manifest.trajectories + writer.pending, trajectory))
                late = time.monotonic() - committed >= COMMIT_SECONDS
                if late or writer.pending_bytes >= COMMIT_BYTES:
                    committed = commit()
                if interrupt.requested:
                    raise KeyboardInterrupt
        finally:
            commit()


def collect(
    envs: Environments,
    policy: VectorPolicy,
    writer: CorpusWriter,
    trajectories: int,
    seed: int,
    provenance: Provenance,
    on_trajectory: OnTrajectory | None = None,
) -> None:
    """Collect until the corpus holds ``trajectories``; see ``plan`` and ``add_rollouts``.

    Args:
        envs: N environments; their specs are the corpus's.
        policy: chooses actions.
        writer: an open writer; it stays open.
        trajectories: size of the corpus when done; nothing happens when it has as many.
        seed: the one seed.
        provenance: what to remember of the source.
        on_trajectory: called after every commit.
    """
    context = RolloutContext(envs, lambda _: policy)
    done = writer.manifest.trajectories + writer.pending
    rollouts = plan(trajectories, envs.num_envs, seed, done)
    rolled = ((each, each.run(context)) for each in rollouts)
    add_rollouts(writer, rolled, provenance, on_trajectory)


def derive(seed: int | Sequence[int], purpose: int, number: int) -> int:
    """An independent 32-bit seed for each purpose and number."""
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, number))
    return int(sequence.generate_state(1)[0])
