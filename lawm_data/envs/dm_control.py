"""Any task of the dm_control suite, by name ``domain-task``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lawm_data.envs import _errors, _suite
from lawm_data.envs._protocol import Environments, Step


def require_task(task: str) -> None:
    """See ``lawm_data.envs.require_task``."""
    _suite.require_task(task)


def make(
    task: str,
    num_envs: int,
    action_repeat: int,
    pixels: int | None,
    physics: bool,
    direct: bool | None,
) -> Environments:
    """Make N copies of a suite task; see ``lawm_data.envs.make``."""
    first = _suite.load(task)
    if direct is not False:
        from lawm_data.envs.direct import find
        from lawm_data.envs.direct.environments import DirectEnvironments

        body = find(task, required=direct is True)
        if body is not None:
            return DirectEnvironments(task, first, body, num_envs, action_repeat, pixels, physics)
    return SuiteEnvironments(task, first, num_envs, action_repeat, pixels, physics)


class SuiteEnvironments(Environments):
    """N suite environments, stepped one after the other through the suite's own Python layer.

    Args:
        task: name ``domain-task``.
        first: the suite's environment, used for the first copy.
        num_envs: N.
        action_repeat: control steps per step.
        pixels: edge of a square camera image, or none.
        physics: observe the simulator's state, too.
    """

    def __init__(
        self,
        task: str,
        first: Any,
        num_envs: int,
        action_repeat: int,
        pixels: int | None,
        physics: bool = True,
    ) -> None:
        self.observations = _suite.observation_specs(first, pixels, physics)
        self.action = _suite.action_spec(first)
        self.info = _suite.environment_info(first, task, action_repeat)
        self.num_envs = num_envs
        self._envs = [first, *(_suite.load(task) for _ in range(num_envs - 1))]
        self._control_steps = _suite.control_steps(first)
        self.steps_per_episode = math.ceil(self._control_steps / action_repeat)
        self._pixels, self._physics = pixels, physics
        self._done = 0
        self._rest = self._zeros()
        self._idle = np.ones(num_envs, bool)
        self._terminated, self._truncated = np.zeros((2, num_envs), bool)
        if pixels is not None:
            self.render(0, pixels, pixels)  # fail now, not at the first step

    def reset(self, seeds: Sequence[int | None]) -> dict[str, np.ndarray]:
        """See ``Environments.reset``."""
        observations = self._zeros()
        self._done = 0
        self._idle = np.zeros(self.num_envs, bool)
        self._terminated, self._truncated = np.zeros((2, self.num_envs), bool)
        for i, seed in enumerate(self._pad(seeds)):
            if seed is None:
                self._idle[i] = True
                continue
            self._write(observations, i, _suite.reset(self._envs[i], self.info.task, seed))
        self._rest = observations
        return observations

    def step(self, actions: np.ndarray) -> Step:
        """See ``Environments.step``."""
        self._check(actions)
        observations = {name: array.copy() for name, array in self._rest.items()}
        reward = np.zeros(self.num_envs, np.float32)
        repeats = min(self.info.action_repeat, self._control_steps - self._done)
        self._done += repeats
        running = ~(self._idle | self._terminated | self._truncated)
        for i in np.flatnonzero(running).tolist():
            with _errors.simulating(self.info.task):
                reward[i], observation = self._advance(i, actions[i], repeats)
            self._write(observations, i, observation)
        self._rest = observations
        return Step(observations, reward, self._terminated.copy(), self._truncated.copy())

    def restore(self, i: int, physics: np.ndarray) -> dict[str, np.ndarray]:
        """See ``Environments.restore``."""
        observation = _suite.restore(self._envs[i], self.info.task, physics)
        shapes = {spec.name: spec.shape for spec in self.observations}
        fields = {
            name: np.asarray(value, np.float32).reshape(shapes[name])
            for name, value in observation.items()
        }
        return {**fields, "physics": physics}

    def seed_matters(self) -> bool:
        """See ``Environments.seed_matters``."""
        return _suite.seed_matters(self._envs[0], self.info.task)

    def render(
        self, i: int, height: int, width: int, camera: int | str | None = None
    ) -> np.ndarray:
        """See ``Environments.render``."""
        return _suite.render(self._envs[i], self.info.task, height, width, camera)

    def _advance(self, i: int, action: np.ndarray, repeats: int) -> tuple[float, Any]:
        """Repeat one action; returns the summed reward and the last observation."""
        total = 0.0
        time_step = None
        for _ in range(repeats):
            time_step = self._envs[i].step(action)
            total += time_step.reward
            if time_step.last() and time_step.discount == 0:
                self._terminated[i] = True
                break
        assert time_step is not None
        self._truncated[i] = self._done >= self._control_steps and not self._terminated[i]
        return total, time_step.observation

    def _zeros(self) -> dict[str, np.ndarray]:
        specs = self.observations
        return {spec.name: np.zeros((self.num_envs, *spec.shape), spec.dtype) for spec in specs}

    def _write(self, observations: dict[str, np.ndarray], i: int, suite: Any) -> None:
        """Write one environment's observation into row ``i``."""
        for name, value in suite.items():
            observations[name][i] = value
        if self._physics:
            observations["physics"][i] = self._envs[i].physics.get_state()
        if self._pixels is not None:
            observations["pixels"][i] = self.render(i, self._pixels, self._pixels)
