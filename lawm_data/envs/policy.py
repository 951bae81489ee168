"""What a collector asks of a policy; ``lawm_data`` knows no networks."""

from __future__ import annotations

from typing import Protocol, final, runtime_checkable

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


@runtime_checkable
class OpenLoopPolicy(VectorPolicy, Protocol):
    """One that does not look at what is observed."""

    def act_ahead(self, steps: int) -> np.ndarray:
        """The actions (N, T, A) that as many calls of ``act`` would have returned."""
        ...


@final
class RandomPolicy:
    """Uniform actions within the bounds of the action spec; standard normal where it has none.

    That is how Gymnasium samples a ``Box``.

    Raises:
        ConfigError: the action is of whole numbers without bounds.
    """

    def __init__(self, action: ArraySpec) -> None:
        self._shape, self._bounds = action.shape, action.bounds()
        self._whole = np.dtype(action.dtype).kind != "f"
        if self._whole and self._bounds is None:
            what = "is of whole numbers without bounds"
            raise ConfigError(what, action.name, "nothing can be drawn from it")
        self.start(1, 0)

    def start(self, num_envs: int, seed: int) -> None:
        """See ``VectorPolicy.start``."""
        self._num_envs = num_envs
        self._generator = np.random.default_rng(seed)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See ``VectorPolicy.act``."""
        return self._draw((len(observation), *self._shape))

    def act_ahead(self, steps: int) -> np.ndarray:
        """See ``OpenLoopPolicy.act_ahead``."""
        return self._draw((steps, self._num_envs, *self._shape)).swapaxes(0, 1)

    def _draw(self, size: tuple[int, ...]) -> np.ndarray:
        if self._bounds is None:
            return self._generator.standard_normal(size).astype(np.float32)
        low, high = self._bounds
        if self._whole:
            return self._generator.integers(low.astype(int), high.astype(int), size, endpoint=True)
        return self._generator.uniform(low, high, size).astype(np.float32)
