"""Whole episodes of N environments in lockstep, with one batched policy call per step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_data.envs.convert import nearest, not_finite, state_of
from lawm_data.envs.policy import OpenLoopPolicy, VectorPolicy
from lawm_data.envs.suites import Environments, Step


class RecordedTrajectory(TypedDict):
    """One recorded trajectory: the arrays and flags that ``CorpusWriter.add`` takes."""

    observations: dict[str, np.ndarray]
    """(T+1, *shape) by field, with physics and pixels where the environments have them."""
    rewards: np.ndarray
    """(T,) float32."""
    actions: np.ndarray
    """(T, *shape) of the action's type."""
    terminated: bool
    """The last step ended in a terminal state."""
    truncated: bool
    """The last step was cut by the time limit."""


def rollout(
    envs: Environments,
    policy: VectorPolicy,
    seeds: Sequence[int | None],
    noise_seed: int | None = None,
    progress: Callable[[int], None] | None = None,
    reads: Sequence[ArraySpec] | None = None,
) -> list[RecordedTrajectory]:
    """Run one episode on each environment that has a seed.

    The policy always acts for all N environments, so that the noise of one of them does not depend
    on how many others take part. One that does not look at what is observed acts all at once where
    the environments can do that; the numbers are the same.

    Args:
        envs: N environments.
        policy: chooses actions; it is started anew.
        seeds: reset seeds, at most one per environment; ``None`` leaves an environment idle.
        noise_seed: seed of the policy's noise; none derives it from ``seeds``.
        progress: called with the number of steps done so far.
        reads: the observations that the policy is given, pixels among them; none for all state.

    Returns:
        The trajectories, in the order of the seeds that are not ``None``.

    Raises:
        ConfigError: what is observed or the policy's actions are not finite, or the actions have
            the wrong shape.
    """
    if reads is None:
        reads = [spec for spec in envs.observations if spec.role is Role.state]
    if noise_seed is None:
        known = [seed for seed in seeds if seed is not None]
        noise_seed = int(np.random.SeedSequence(known).generate_state(1)[0])
    chosen = [i for i, seed in enumerate(seeds) if seed is not None]
    if envs.at_once and isinstance(policy, OpenLoopPolicy):
        policy.start(envs.num_envs, noise_seed)
        recorded = _at_once(envs, policy, seeds, chosen)
        if recorded is not None:
            if progress is not None:
                progress(envs.steps_per_episode)
            return recorded
    policy.start(envs.num_envs, noise_seed)
    observations = envs.reset(seeds)
    buffers = _Buffers(envs, observations)
    running = np.isin(np.arange(envs.num_envs), chosen)
    lengths = np.zeros(envs.num_envs, int)
    terminated, truncated = np.zeros((2, envs.num_envs), bool)
    for t in range(envs.steps_per_episode):
        if not running.any():
            break
        seen = _finite(state_of(observations, reads), reads, running, f"{envs.info.task}, step {t}")
        chosen_actions = policy.act(seen)
        actions = nearest(chosen_actions, envs.action, f"{envs.info.task}, step {t}")
        observations, reward, terminated, truncated = envs.step(actions)
        buffers.write(t, actions, reward, observations)
        lengths += running
        running = running & ~(terminated | truncated)
        if progress is not None:
            progress(t + 1)
    return [buffers.cut(i, lengths[i], bool(terminated[i]), bool(truncated[i])) for i in chosen]


def _finite(
    seen: np.ndarray, reads: Sequence[ArraySpec], running: np.ndarray, where: str
) -> np.ndarray:
    """What the policy sees; of copies that have ended zeros, where something is not finite."""
    bad = not_finite(seen, reads)
    if bad is None:
        return seen
    seen[~running] = 0
    bad = not_finite(seen, reads)
    if bad is None:
        return seen
    raise ConfigError(
        f"the environment's {bad.field} is not finite",
        f"{where}, copy {bad.rows[0]}",
        "the simulation diverged: take another seed, or another policy",
    )


def _at_once(
    envs: Environments, policy: OpenLoopPolicy, seeds: Sequence[int | None], chosen: Sequence[int]
) -> list[RecordedTrajectory] | None:
    """The same by ``Environments.open_loop``; None where that gives nothing."""
    buffers = _Buffers(envs, envs.reset(seeds))
    drawn = policy.act_ahead(envs.steps_per_episode)
    flat = drawn.reshape(-1, *envs.action.shape)
    actions = nearest(flat, envs.action, envs.info.task).reshape(drawn.shape)
    steps = envs.open_loop(actions)
    if steps is None:
        return None
    buffers.fill(actions, steps)
    lengths = 1 + (~(steps.terminated | steps.truncated)[:, :-1]).cumprod(1).sum(1)
    ends = [(i, length, length - 1) for i, length in enumerate(lengths.tolist()) if i in chosen]
    return [
        buffers.cut(i, length, bool(steps.terminated[i, t]), bool(steps.truncated[i, t]))
        for i, length, t in ends
    ]


class _Buffers:
    """Arrays for a whole episode of N environments, environment first, so that cuts are views."""

    def __init__(self, envs: Environments, first: dict[str, np.ndarray]) -> None:
        n, steps = envs.num_envs, envs.steps_per_episode
        self._observations = {
            spec.name: np.zeros((n, steps + 1, *spec.shape), spec.dtype)
            for spec in envs.observations
        }
        self._rewards = np.zeros((n, steps), np.float32)
        self._actions = np.zeros((n, steps, *envs.action.shape), envs.action.dtype)
        for name, array in first.items():
            self._observations[name][:, 0] = array

    def write(
        self, t: int, actions: np.ndarray, reward: np.ndarray, observations: dict[str, np.ndarray]
    ) -> None:
        self._actions[:, t] = actions
        self._rewards[:, t] = reward
        for name, array in observations.items():
            self._observations[name][:, t + 1] = array

    def fill(self, actions: np.ndarray, steps: Step) -> None:
        """Write all steps, (N, T, ...)."""
        self._actions[:] = actions
        self._rewards[:] = steps.reward
        for name, array in steps.observations.items():
            self._observations[name][:, 1:] = array

    def cut(self, i: int, length: int, terminated: bool, truncated: bool) -> RecordedTrajectory:
        return RecordedTrajectory(
            observations={k: array[i, : length + 1] for k, array in self._observations.items()},
            rewards=self._rewards[i, :length],
            actions=self._actions[i, :length],
            terminated=terminated,
            truncated=truncated,
        )
