"""N copies of a task that are objects of their own, stepped one after the other."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, EnvironmentInfo

from lawm_data.envs.suites._protocol import Environments, Step


class Advance(NamedTuple):
    """What an action, repeated, brought to one copy."""

    reward: float
    """The sum."""
    observation: Any
    """The last one, as the suite gives it."""
    terminated: bool
    """It ended in a terminal state."""
    truncated: bool
    """It was cut otherwise; the time limit is added by ``Copies``."""


class Copies(Environments):
    """What is the same for every suite: who is running, who holds still, the time limit.

    A suite says how one copy starts (``_start``), how it moves (``_advance``) and what is observed
    of it (``_write``). No state can be restored and nothing drawn, unless it overrides that, too.

    Args:
        observations: fields of one copy.
        action: the action of one copy.
        info: enough to make one again.
        envs: N of them.
        limit: control steps of an episode.
    """

    def __init__(
        self,
        observations: tuple[ArraySpec, ...],
        action: ArraySpec,
        info: EnvironmentInfo,
        envs: Sequence[Any],
        limit: int,
    ) -> None:
        self.observations, self.action, self.info = observations, action, info
        self.num_envs = len(envs)
        self.steps_per_episode = math.ceil(limit / info.action_repeat)
        self._envs, self._limit = envs, limit
        self._begin([None] * self.num_envs)

    def reset(self, seeds: Sequence[int | None]) -> dict[str, np.ndarray]:
        """See ``Environments.reset``."""
        padded = self._pad(seeds)
        self._begin(padded)
        for i, seed in enumerate(padded):
            if seed is not None:
                self._write(self._rest, i, self._start(i, seed))
        return _copied(self._rest)

    def step(self, actions: np.ndarray) -> Step:
        """See ``Environments.step``."""
        self._check(actions)
        reward = np.zeros(self.num_envs, np.float32)
        repeats = min(self.info.action_repeat, self._limit - self._done)
        self._done += repeats
        running = ~(self._idle | self._terminated | self._truncated)
        for i in np.flatnonzero(running).tolist():
            reward[i], observation, terminated, truncated = self._advance(i, actions[i], repeats)
            self._terminated[i] = terminated
            self._truncated[i] = truncated or (self._done >= self._limit and not terminated)
            self._write(self._rest, i, observation)
        ends = (self._terminated.copy(), self._truncated.copy())
        return Step(_copied(self._rest), reward, *ends)

    @property
    def steps_done(self) -> int:
        """Steps since the reset."""
        return math.ceil(self._done / self.info.action_repeat)

    def _begin(self, seeds: Sequence[int | None]) -> None:
        """Forget the episodes; copies without a seed are idle."""
        self._done = 0
        self._rest = {
            spec.name: np.zeros((self.num_envs, *spec.shape), spec.dtype)
            for spec in self.observations
        }
        self._idle = np.array([seed is None for seed in seeds])
        self._terminated, self._truncated = np.zeros((2, self.num_envs), bool)

    def restore(self, i: int, physics: np.ndarray) -> dict[str, np.ndarray]:
        """See ``Environments.restore``.

        Raises:
            ConfigError: there is no state of a simulator.
        """
        raise ConfigError("keeps no physics state", self.info.task, "it cannot be replayed")

    def seed_matters(self) -> bool:
        """See ``Environments.seed_matters``; nothing else says where an episode begins."""
        return True

    def render(
        self, i: int, height: int, width: int, camera: int | str | None = None
    ) -> np.ndarray:
        """See ``Environments.render``.

        Raises:
            ConfigError: it draws nothing.
        """
        raise ConfigError("draws no pictures", self.info.task, "leave --pixels out")

    @abstractmethod
    def _start(self, i: int, seed: int) -> Any:
        """Start an episode of one copy; returns its observation."""

    @abstractmethod
    def _advance(self, i: int, action: np.ndarray, repeats: int) -> Advance:
        """Apply an action to one copy, as often as ``repeats`` says or until it ends."""

    @abstractmethod
    def _write(self, observations: dict[str, np.ndarray], i: int, observation: Any) -> None:
        """Write one copy's observation into row ``i``."""


def _copied(observations: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in observations.items()}
