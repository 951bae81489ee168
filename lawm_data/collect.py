"""Environment and policy to corpus."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from lawm_schemas import Provenance

from lawm_data.envs import Environments
from lawm_data.policy import Policy
from lawm_data.rollout import Recorded, rollout
from lawm_data.writer import CorpusWriter

OnTrajectory = Callable[[int, Recorded], None]
"""Told after every commit, per trajectory: how many there are now, and the trajectory."""

_RESET, _NOISE = 0, 1


def collect(
    envs: Environments,
    policy: Policy,
    writer: CorpusWriter,
    trajectories: int,
    seed: int,
    provenance: Provenance,
    on_trajectory: OnTrajectory | None = None,
) -> None:
    """Collect until the corpus holds ``trajectories``, and commit after every N of them.

    Trajectory k always runs on environment ``k mod N``, with seeds that derive from ``seed``, k and
    N alone. So collecting 100, or 40 and then up to 100 by append, or being killed and called
    again, gives the same corpus.

    Args:
        envs: N environments; their specs are the corpus's.
        policy: chooses actions.
        writer: an open writer; it stays open.
        trajectories: size of the corpus when done; nothing happens when it has as many.
        seed: the one seed.
        provenance: what to remember of the source.
        on_trajectory: told after every commit.

    Raises:
        CorpusError: a trajectory does not fit the corpus's specs.
        StorageError: the file system refused; what was committed stays.
    """
    n = envs.num_envs
    collected = writer.manifest.trajectories + writer.pending
    while collected < trajectories:
        batch, first = divmod(collected, n)
        last = min(n, first + trajectories - collected)
        lanes = [_derive(seed, _RESET, batch * n + lane) for lane in range(last)]
        seeds = [None] * first + lanes[first:]
        recorded = rollout(envs, policy, seeds, _derive(seed, _NOISE, batch))
        for episode, reset_seed in zip(recorded, seeds[first:], strict=True):
            writer.add(**episode, provenance=provenance, seed=reset_seed)
        writer.commit()
        for episode in recorded:
            collected += 1
            if on_trajectory is not None:
                on_trajectory(collected, episode)


def _derive(seed: int, purpose: int, number: int) -> int:
    """An independent 32-bit seed for each purpose and number."""
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, number))
    return int(sequence.generate_state(1)[0])
