"""One round of an agent's learning in two halves that can run side by side.

The world model learns from the trajectories; actor and critics learn in the world model of the
round before, from the states that round visited. Neither half waits for the other, so a second
process can take the dreams; one round of lag is the price, and with or without the second process
the numbers are the same.
"""

from __future__ import annotations

import copy
import multiprocessing
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch
from lawm_schemas import ArraySpec
from torch import Tensor
from torch.utils._pytree import tree_map_only

from lawm_data.system.interrupt import blocked_interrupts
from lawm_data.system.workers.processes import end_with_parent
from lawm_models.collection.agents import make_agent
from lawm_models.collection.replay_buffer import ReplayBuffer
from lawm_models.networks.actor_critic import choose_starts
from lawm_models.networks.dynamics import State

if TYPE_CHECKING:
    from lawm_models.collection.agents import LearningAgent

T = TypeVar("T")
Metrics = dict[str, float]

DREAMING = ("actor", "critic")
"""Optimisers of the dreaming half; all others are of the half that reads trajectories."""


class DreamTask(NamedTuple):
    """All that the dreaming half needs, as plain data and tensors."""

    kind: str
    """Kind of agent, one of ``AGENTS``."""
    config: dict[str, Any]
    observations: tuple[ArraySpec, ...]
    action_dim: int
    terminates: bool
    weights: dict[str, Tensor]
    """Weights of the whole agent before the round."""
    optimizers: dict[str, Any]
    """States of the actor's and the critics' optimisers."""
    starts: tuple[Tensor, Tensor]
    """Start states (updates, N, D) and (updates, N, S)."""
    seed: int


class DreamResult(NamedTuple):
    """What the dreaming half learned."""

    weights: dict[str, Tensor]
    """Weights of actor and critics."""
    optimizers: dict[str, Any]
    metrics: Metrics


def dream_round(task: DreamTask) -> DreamResult:
    """Train actor and critics once per entry of ``starts``; a pure function."""
    agent = make_agent(task.kind, task.config, task.observations, task.action_dim, task.terminates)
    agent.load_state_dict(task.weights)
    optimizers = {name: agent.optimizers()[name] for name in DREAMING}
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(task.optimizers[name])
    generator = torch.Generator().manual_seed(task.seed)
    metrics = _Mean()
    for deter, stoch in zip(*task.starts, strict=True):
        metrics.add(agent.update_agent(State(deter, stoch), generator))
    return DreamResult(
        agent.agent.state_dict(),
        {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
        metrics.read(),
    )


class Rounds:
    """Learning round by round. ``begin`` starts the dreams, ``finish`` trains the model meanwhile.

    Args:
        kind: kind of agent, one of ``AGENTS``.
        agent: trained in place.
        replay: what it has seen.
        arrays: what can be observed, A, and whether trajectories can end in a terminal state.
        processes: 2 dreams in a second process, 1 in this one.
    """

    def __init__(
        self,
        kind: str,
        agent: LearningAgent,
        replay: ReplayBuffer,
        arrays: tuple[tuple[ArraySpec, ...], int, bool],
        processes: int,
    ) -> None:
        self.kind = kind
        self.agent = agent
        self.replay = replay
        self.arrays = arrays
        self.starts: tuple[Tensor, Tensor] | None = None
        """States visited by the last round; part of what a resumed collection needs."""
        self._pool: Executor | None = None
        self._future: Future[DreamResult] | None = None
        self._task: DreamTask | None = None
        if processes > 1:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, initializer=_begin)

    def resume(self, deter: Tensor, stoch: Tensor) -> None:
        """Take up the states that a saved round has visited, (updates, N, D) and (updates, N, S).

        Raises:
            ValueError: no agent of this configuration has such states.
        """
        sizes, many = self.agent.config.world.rssm, deter.shape[:2]
        for part, size in ((deter, sizes.deter), (stoch, sizes.stoch)):
            if part.shape != (*many, size) or part.dtype != torch.float32:
                raise ValueError(f"start states of {part.dtype} of shape {tuple(part.shape)}")
        self.starts = (deter, stoch)

    def begin(self, seed: int) -> None:
        """Hand the dreams of this round over, from the states of the round before."""
        if self.starts is None:
            return
        optimizers = self.agent.optimizers()
        state = {name: optimizers[name].state_dict() for name in DREAMING}
        # Copies: the model moves on while the dreams still see it as it was.
        weights, state = copy.deepcopy((dict(self.agent.state_dict()), state))
        config = self.agent.config.model_dump(mode="json")
        self._task = DreamTask(self.kind, config, *self.arrays, weights, state, self.starts, seed)
        if self._pool is not None:
            # the first time starts the process; where it has died, finish() dreams
            with blocked_interrupts(), suppress(BrokenProcessPool):
                self._future = self._pool.submit(_dream, _arrays(self._task))

    def finish(self, updates: int, seed: int) -> Metrics:
        """Train the world model on the replay, then take over what the dreams have learned."""
        draws = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(seed)
        config, metrics, starts = self.agent.config, _Mean(), []
        task = self._task
        for _ in range(updates):
            batch = self.replay.sample(config.batch_size, draws)
            terms, state = self.agent.update_model(batch, generator)
            metrics.add(terms)
            num = config.agent.start_states
            starts.append(choose_starts(state, batch.valid, num, generator))
        learned: Metrics = {}
        if task is not None:
            result = self._dreamt(task)
            self.agent.agent.load_state_dict(result.weights)
            for name, state in result.optimizers.items():
                self.agent.optimizers()[name].load_state_dict(state)
            learned = result.metrics
        self._task = self._future = None
        if starts:
            deter, stoch = (torch.stack(part) for part in zip(*starts, strict=True))
            self.starts = (deter, stoch)
        return {**metrics.read(), **learned}

    def _dreamt(self, task: DreamTask) -> DreamResult:
        if self._future is not None:
            with suppress(BrokenProcessPool):  # it was killed, as for its memory
                return _tensors(self._future.result())
        return dream_round(task)

    def close(self) -> None:
        """Stop the second process."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """What the second process does first."""
    end_with_parent()
    torch.set_num_threads(1)


def _dream(task: DreamTask) -> DreamResult:
    """``dream_round`` in the second process."""
    return _arrays(dream_round(_tensors(task)))


def _arrays(message: T) -> T:
    """A message with arrays in the place of tensors.

    Tensors travel through sockets in TMPDIR, which stay there when a process is killed.
    """
    return tree_map_only(Tensor, Tensor.numpy, message)


def _tensors(message: T) -> T:
    """Undo ``_arrays``."""
    return tree_map_only(np.ndarray, torch.from_numpy, message)


class _Mean:
    """Mean of metrics over gradient steps, read once."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, metrics: dict[str, Tensor]) -> None:
        self._count += 1
        for name, value in metrics.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def read(self) -> Metrics:
        return {name: float(value) / self._count for name, value in self._sums.items()}
