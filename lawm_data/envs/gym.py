"""Any registered Gymnasium environment, by its id."""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, EnvironmentInfo, Role

from lawm_data.envs._protocol import Environments, Step
from lawm_data.spaces import action_spec, observation_parts

UNLIMITED_EPISODE = 1000
"""Steps of the environment after which an episode without a time limit is cut."""


def require_task(task: str) -> None:
    """See ``lawm_data.envs.require_task``."""
    _registered(task)


def make(
    task: str,
    num_envs: int,
    action_repeat: int,
    pixels: int | None,
    physics: bool,
    direct: bool | None,
) -> Environments:
    """Make N copies of an environment; see ``lawm_data.envs.make``. There is no physics state."""
    if direct:
        raise ConfigError("is stepped by Gymnasium only", task, "leave direct out")
    return GymEnvironments(task, num_envs, action_repeat, pixels)


def load(task: str, render: bool = False) -> Any:
    """Make one environment.

    Only what is registered under this id: a corpus of others must not name code to run.

    Raises:
        ConfigError: no such id, or a package is missing.
    """
    gymnasium = _registered(task)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mode = "rgb_array" if render else None
            return gymnasium.make(task, render_mode=mode, disable_env_checker=True)
    except (gymnasium.error.Error, ImportError) as error:
        raise ConfigError(_first_line(error), f"gym:{task}", "install what it needs") from None


def _registered(task: str) -> Any:
    """Gymnasium, when it knows the id."""
    try:
        gymnasium: Any = import_module("gymnasium")
    except ModuleNotFoundError:
        raise ConfigError("needs gymnasium", f"gym:{task}", "pip install 'lawm[gym]'") from None
    if task not in gymnasium.registry:
        near = difflib.get_close_matches(task, list(gymnasium.registry), n=3, cutoff=0.3)
        mend = f"nearest ids: {', '.join(near) or 'none'}"
        raise ConfigError("is not registered in Gymnasium", f"gym:{task}", mend)
    return gymnasium


class GymEnvironments(Environments):
    """N Gymnasium environments, stepped one after the other.

    Args:
        task: a registered id.
        num_envs: N.
        action_repeat: steps of the environment per recorded step.
        pixels: edge of a square picture to observe, or none.
    """

    def __init__(self, task: str, num_envs: int, action_repeat: int, pixels: int | None) -> None:
        first = load(task, render=pixels is not None)
        self._parts = observation_parts(first.observation_space, f"gym:{task}", single=True)
        self.observations = tuple(part.spec for part in self._parts)
        self._pixels = pixels
        if pixels is not None:
            shape = (pixels, pixels, 3)
            spec = ArraySpec(name="render", shape=shape, dtype="uint8", role=Role.pixels)
            self.observations = (*self.observations, spec)
        self.action = action_spec(first.action_space, f"gym:{task}", single=True)
        fps = first.metadata.get("render_fps")
        self.info = EnvironmentInfo(
            suite="gym",
            task=task,
            action_repeat=action_repeat,
            control_timestep=1 / fps if fps else None,
        )
        self.num_envs = num_envs
        self._limit = first.spec.max_episode_steps or UNLIMITED_EPISODE
        self.steps_per_episode = math.ceil(self._limit / action_repeat)
        self._envs = [first, *(load(task, pixels is not None) for _ in range(num_envs - 1))]
        self._done = 0
        self._rest = self._zeros()
        self._idle = np.ones(num_envs, bool)
        self._terminated, self._truncated = np.zeros((2, num_envs), bool)

    def reset(self, seeds: Sequence[int | None]) -> dict[str, np.ndarray]:
        """See ``Environments.reset``."""
        self._rest, self._done = self._zeros(), 0
        self._terminated, self._truncated = np.zeros((2, self.num_envs), bool)
        padded = self._pad(seeds)
        self._idle = np.array([seed is None for seed in padded])
        for i, seed in enumerate(padded):
            if seed is not None:
                observation, _ = self._envs[i].reset(seed=seed)
                self._write(self._rest, i, observation)
        return {name: array.copy() for name, array in self._rest.items()}

    def step(self, actions: np.ndarray) -> Step:
        """See ``Environments.step``."""
        self._check(actions)
        observations = {name: array.copy() for name, array in self._rest.items()}
        reward = np.zeros(self.num_envs, np.float32)
        repeats = min(self.info.action_repeat, self._limit - self._done)
        self._done += repeats
        running = ~(self._idle | self._terminated | self._truncated)
        for i in np.flatnonzero(running).tolist():
            reward[i], observation = self._advance(i, actions[i], repeats)
            self._write(observations, i, observation)
        self._rest = observations
        return Step(
            {name: array.copy() for name, array in observations.items()},
            reward,
            self._terminated.copy(),
            self._truncated.copy(),
        )

    def _advance(self, i: int, action: np.ndarray, repeats: int) -> tuple[float, Any]:
        """Repeat one action; returns the summed reward and the last observation."""
        total, observation = 0.0, None
        # a Discrete space wants a number, a Box its own type
        given = action.item() if not action.shape else self._typed(i, action)
        for _ in range(repeats):
            observation, reward, terminated, truncated, _ = self._envs[i].step(given)
            total += float(reward)
            self._terminated[i], self._truncated[i] = bool(terminated), bool(truncated)
            if terminated or truncated:
                break
        if self._done >= self._limit and not self._terminated[i]:
            self._truncated[i] = True
        return total, observation

    def _typed(self, i: int, action: np.ndarray) -> np.ndarray:
        return action.astype(self._envs[i].action_space.dtype)

    def restore(self, i: int, physics: np.ndarray) -> dict[str, np.ndarray]:
        """Gymnasium has no word for the state of a simulator."""
        raise ConfigError("keeps no physics state", self.info.task, "it cannot be replayed")

    def seed_matters(self) -> bool:
        """See ``Environments.seed_matters``; nothing else says where an episode begins."""
        return True

    def render(
        self, i: int, height: int, width: int, camera: int | str | None = None
    ) -> np.ndarray:
        """See ``Environments.render``; the nearest pixels of the environment's own picture.

        Raises:
            ConfigError: it draws nothing, or was not made to draw.
        """
        if camera is not None:
            raise ConfigError("has no cameras to choose from", self.info.task, "leave camera out")
        env = self._envs[i]
        if env.render_mode != "rgb_array":
            mend = "collect with --pixels"
            raise ConfigError("was not made to draw pictures", self.info.task, mend)
        frame = np.asarray(env.render())
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ConfigError("draws no picture", self.info.task, "leave --pixels out")
        rows = np.arange(height) * frame.shape[0] // height
        columns = np.arange(width) * frame.shape[1] // width
        return frame[rows][:, columns]

    def _zeros(self) -> dict[str, np.ndarray]:
        specs = self.observations
        return {spec.name: np.zeros((self.num_envs, *spec.shape), spec.dtype) for spec in specs}

    def _write(self, observations: dict[str, np.ndarray], i: int, sample: Any) -> None:
        """Write one environment's observation into row ``i``."""
        for part in self._parts:
            observations[part.spec.name][i] = part.of(sample)
        if self._pixels is not None:
            observations["render"][i] = self.render(i, self._pixels, self._pixels)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
