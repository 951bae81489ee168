"""What every suite offers: N environments in lockstep, observed as arrays by name.

A module named after the suite holds ``require_task`` and ``make``, and ``ACTION_REPEAT`` where more
than one control step goes into a recorded one, and ``TERMINATES``, False, where trajectories end by
the time limit alone. ``CAMERA`` is the name of the picture that it adds for ``pixels``, where that
is not ``pixels``. One that draws by name has ``DRAWING``, the usual ``Drawing``, and takes another
as ``drawing`` in ``make``. One whose environments can be drawn only
if they were made for that has ``DRAWS_WHEN_TOLD``, True, and takes ``draws``. Nothing else
registers it: ``--env SUITE:TASK``, ``suites.make`` and the corpora that name it find it by its
name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, EnvironmentInfo, Role

from lawm_data.envs.convert import state_of

LARGEST_SEED = 2**32 - 1
"""Of a reset."""


class Step(NamedTuple):
    """What one step of N environments brought."""

    observations: dict[str, np.ndarray]
    """(N, *shape) by field: the observations that the actions led to."""
    reward: np.ndarray
    """(N,) float32, summed over the action repeat."""
    terminated: np.ndarray
    """(N,) bool: ended in a terminal state, at this step or before."""
    truncated: np.ndarray
    """(N,) bool: cut by the time limit, at this step or before."""


class Environments(ABC):
    """N copies of one task, stepped in lockstep.

    A copy that has ended holds still until the next reset: its observation stays, its reward is
    zero, its flags stay set. A copy that was reset with ``None`` is idle and holds still from the
    start, with zeros for observations.
    """

    observations: tuple[ArraySpec, ...]
    """State fields, physics and pixels of one environment."""
    action: ArraySpec
    """The action with its bounds, float32 or whole numbers."""
    info: EnvironmentInfo
    """Enough to make it again."""
    num_envs: int
    """N."""
    steps_per_episode: int
    """Steps until the time limit."""
    at_once: bool = False
    """Whether ``open_loop`` is worth a try."""

    @abstractmethod
    def reset(self, seeds: Sequence[int | None]) -> dict[str, np.ndarray]:
        """Start new episodes; the same seed starts the same episode on any of the N copies.

        Args:
            seeds: one per environment, below 2**32; ``None`` and those left out stay idle.

        Returns:
            Observations by field, (N, *shape).
        """

    @abstractmethod
    def step(self, actions: np.ndarray) -> Step:
        """Apply actions (N, *shape) and return what they led to."""

    def open_loop(self, actions: np.ndarray) -> Step | None:
        """Apply T actions of each environment at once, where that is faster: the same numbers.

        Args:
            actions: (N, T, *shape), of steps before the time limit.

        Returns:
            What T calls of ``step`` would have returned, each array (N, T, ...). None where that
            cannot be had, as always here, or where the simulator has warned: then start anew and
            step.
        """
        return None

    @abstractmethod
    def restore(self, i: int, physics: np.ndarray) -> dict[str, np.ndarray]:
        """Put environment ``i``, which was reset with a seed, into a recorded physics state.

        What the reset drew besides the state stays: a goal, a terrain, a gain.

        Args:
            i: which one.
            physics: (P,) float64.

        Returns:
            Observations by field, (*shape), without pixels.
        """

    def unrestorable(self) -> frozenset[str]:
        """Names of observations that do not follow from a physics state alone; ends all episodes.

        Forces, touch and accelerations are read one substep before the state that a step ends in.
        """
        return frozenset()

    def remembers(self) -> bool:
        """Whether a step depends on more of the past than the physics state, as delays do.

        No recorded state can then be gone on from, only a reset.
        """
        return False

    @abstractmethod
    def seed_matters(self) -> bool:
        """Whether a reset draws something that is not in the physics state, such as a goal."""

    @abstractmethod
    def render(
        self, i: int, height: int, width: int, camera: int | str | None = None
    ) -> np.ndarray:
        """Picture of environment ``i``, (height, width, 3) uint8; None takes its usual camera.

        For people: as the simulator draws by itself.
        """

    def look(self, i: int, t: int | None = None) -> dict[str, np.ndarray]:
        """What the camera gives of environment ``i`` in its present state, by field.

        That is the image, and what distractors in it did. Only of environments that were made with
        ``pixels``.

        Args:
            i: which one.
            t: the step that decides what distractors do; None takes that of the episode.
        """
        camera = next(spec for spec in self.observations if spec.role is Role.pixels)
        return {camera.name: self.render(i, *camera.shape[:2])}

    def state(self, observations: Mapping[str, np.ndarray]) -> np.ndarray:
        """State fields flattened and concatenated in the order of the specs, (N, O) float32."""
        return state_of(observations, [s for s in self.observations if s.role is Role.state])

    def _pad(self, seeds: Sequence[int | None]) -> list[int | None]:
        """One seed per environment; idle ones at the end where seeds are left out."""
        if len(seeds) > self.num_envs:
            what = f"{len(seeds)} seeds for {self.num_envs} environments"
            raise ConfigError(what, self.info.task, "give at most one per environment")
        for seed in seeds:
            if seed is not None and not 0 <= seed <= LARGEST_SEED:
                raise ConfigError(f"seed {seed} is out of range", self.info.task, "0 to 2**32 - 1")
        return [*seeds, *[None] * (self.num_envs - len(seeds))]

    def _check(self, actions: np.ndarray) -> None:
        """Refuse actions of another shape than (N, *shape)."""
        expected = (self.num_envs, *self.action.shape)
        if actions.shape != expected:
            what = f"actions have shape {actions.shape}, expected {expected}"
            raise ConfigError(what, self.info.task, "use a policy made for this task")


class SuiteModule(Protocol):
    """A module of this folder, or one that another package brings."""

    def require_task(self, task: str) -> None:
        """Refuse a task that the suite does not have; makes nothing.

        Raises:
            ConfigError: no such task, or a package is missing.
        """
        ...

    def make(
        self,
        task: str,
        *,
        num_envs: int,
        action_repeat: int,
        pixels: int | None,
        physics: bool,
        direct: bool | None,
    ) -> Environments:
        """Make N copies of one task; the arguments are those of ``suites.make``, by name.

        Raises:
            ConfigError: no such task, a package is missing, or it does not do what is asked.
        """
        ...
