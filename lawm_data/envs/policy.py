"""What a collector asks of a policy; ``lawm_data`` knows no networks."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from lawm_schemas import ArraySpec, ConfigError


class VectorPolicy(Protocol):
    """Chooses actions, as vectors, for N environments in lockstep."""

    def start(self, num_envs: int, seed: int) -> None:
        """Forget everything: N new trajectories begin, with this seed for any noise."""
        ...

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Actions (N, A) within the bounds, for states (N, O) float32.

        Where they are whole numbers, the nearest ones are taken.
        """
        ...


class RandomPolicy:
    """Uniform actions within the bounds of the action spec.

    Raises:
        ConfigError: the action has no bounds.
    """

    def __init__(self, action: ArraySpec) -> None:
        bounds = action.bounds()
        if bounds is None:
            raise ConfigError("the action has no bounds", action.name, "give low and high")
        self._low, self._high = bounds
        self._whole = np.dtype(action.dtype).kind != "f"
        self.start(1, 0)

    def start(self, num_envs: int, seed: int) -> None:
        """See ``VectorPolicy.start``."""
        self._generator = np.random.default_rng(seed)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See ``VectorPolicy.act``."""
        size = (len(observation), *self._low.shape)
        if self._whole:
            low, high = self._low.astype(int), self._high.astype(int)
            return self._generator.integers(low, high, size, endpoint=True)
        return self._generator.uniform(self._low, self._high, size).astype(np.float32)
