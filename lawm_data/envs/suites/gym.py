"""Any environment that is registered in Gymnasium, by its id, such as ``CartPole-v1``."""

from __future__ import annotations

import difflib
import json
import re
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, EnvironmentInfo, Role
from lawm_schemas.errors import reason_of

from lawm_data.envs.spaces import action_spec, observation_parts
from lawm_data.envs.suites import _errors
from lawm_data.envs.suites._copies import Advance, Copies
from lawm_data.envs.suites._protocol import Environments
from lawm_data.system.optional import optional

UNLIMITED_EPISODE = 1000
"""Steps of the environment after which an episode without a time limit is cut."""

IMPORTED = "one of your own is known once its module is imported (docs/exchange.md#gymnasium)"
NO_PICTURES = "do without pictures of it"
CAMERA = "render"
"""Name of the picture that ``pixels`` adds; an environment may observe pictures of its own."""
DRAWS_WHEN_TOLD = True
"""Gymnasium decides when an environment is made whether it can be drawn."""


def require_task(task: str) -> None:
    """See ``lawm_data.envs.suites.require_task``."""
    _registered(task)


def describe(task: str, action_repeat: int = 1) -> EnvironmentInfo:
    """What a corpus remembers of an environment; its class is loaded, and it is not made."""
    gymnasium = _registered(task)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entry = gymnasium.registry[task].entry_point
            made: Any = (
                entry if callable(entry) else gymnasium.envs.registration.load_env_creator(entry)
            )
            seconds = 1 / made.metadata["render_fps"]
    except Exception:  # not said, no class, or a package that is not installed: anybody's code
        seconds = None
    return EnvironmentInfo(
        suite="gym", task=task, action_repeat=action_repeat, control_timestep=seconds
    )


def makes(task: str, kwargs: Mapping[str, Any], limit: int | None, wrappers: Sequence[Any]) -> bool:
    """Whether a registered id alone makes an environment with these settings.

    Args:
        task: the id.
        kwargs: what it was made with; how it is drawn does not matter.
        limit: steps of an episode, or none.
        wrappers: around it, as in ``EnvSpec.additional_wrappers``.

    Raises:
        ConfigError: no such id, or Gymnasium is missing.
    """
    usual = _registered(task).registry[task]
    there = (usual.kwargs, usual.max_episode_steps, usual.additional_wrappers)
    try:
        return _as_json(kwargs, limit, wrappers) == _as_json(*there)
    except (TypeError, ValueError, RecursionError):  # what cannot be compared
        return False


def _as_json(kwargs: Mapping[str, Any], limit: int | None, wrappers: Sequence[Any]) -> str:
    """Settings as data sets keep them."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        return vars(value) if is_dataclass(value) else repr(value)

    settings = ({**kwargs, "render_mode": None}, limit, wrappers)
    return json.dumps(settings, sort_keys=True, default=plain)


def make(
    task: str,
    *,
    num_envs: int,
    action_repeat: int,
    pixels: int | None,
    physics: bool,
    direct: bool | None,
    draws: bool = False,
) -> Environments:
    """Make N copies of an environment; see ``suites.make``. There is no physics state."""
    if direct:
        raise ConfigError("is stepped by Gymnasium only", task, "leave direct out")
    return GymEnvironments(task, num_envs, action_repeat, pixels, draws)


def load(task: str, render: bool = False) -> Any:
    """Make one environment.

    Only what is registered under this id: a corpus of others must not name code to run.

    Raises:
        ConfigError: no such id, a package is missing, or it cannot draw.
    """
    gymnasium, where = _registered(task), f"gym:{task}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # not all take the word, and no word is none
            how: dict[str, Any] = {"render_mode": "rgb_array"} if render else {}
            return gymnasium.make(task, disable_env_checker=True, **how)
    except (gymnasium.error.Error, ImportError) as error:
        what = _reason(error)
        raise ConfigError(what, where, _packages(error) or "install what it needs") from None
    except TypeError as error:
        if not render or "render_mode" not in str(error):
            raise
        raise ConfigError("draws no picture", where, NO_PICTURES) from None


def picture(env: Any, task: str) -> np.ndarray:
    """What an environment draws of itself, (h, w, 3) uint8.

    Raises:
        ConfigError: it draws no picture, or cannot on this machine.
    """
    where = f"gym:{task}"
    try:
        frame = env.render()
    except Exception as error:  # its packages, the display, the driver: anybody's code
        _let_go(error)
        if _errors.of_opengl(error):
            raise _errors.no_rendering(where, _errors.why_not_drawn(error)) from None
        hint = _packages(error) or NO_PICTURES
        raise ConfigError(f"cannot be drawn: {_reason(error)}", where, hint) from None
    if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.shape[2] != 3:
        raise ConfigError("draws no picture", where, NO_PICTURES)
    if frame.dtype != np.uint8:
        raise ConfigError(f"draws pictures of {frame.dtype}, not uint8", where, NO_PICTURES)
    return frame


def _let_go(error: BaseException) -> None:
    """Delete what was left half made, quietly: viewers of MuJoCo fail at that, and print it."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        traceback.clear_frames(error.__traceback__)
    finally:
        sys.unraisablehook = hook


def _reason(error: BaseException) -> str:
    """What went wrong, without the advice that Gymnasium adds."""
    return re.split(r",[^,`]*`pip install", reason_of(error))[0].rstrip(".")


def _packages(error: BaseException) -> str:
    """The commands that Gymnasium says would help."""
    return " && ".join(re.findall(r"`(pip install [^`]+)`", reason_of(error)))


def _registered(task: str) -> Any:
    """Gymnasium, when it knows the id."""
    gymnasium = optional("gymnasium", "gym", f"gym:{task}")
    if task not in gymnasium.registry:
        near = difflib.get_close_matches(task, list(gymnasium.registry), n=3, cutoff=0.3)
        hint = f"nearest ids: {', '.join(near) or 'none'}; {IMPORTED}"
        raise ConfigError("is not registered in Gymnasium", f"gym:{task}", hint)
    return gymnasium


class GymEnvironments(Copies):
    """N Gymnasium environments, stepped one after the other.

    Args:
        task: a registered id.
        num_envs: N.
        action_repeat: steps of the environment per recorded step.
        pixels: edge of a square picture to observe, or none.
        draws: ``render`` will be called.

    Raises:
        ConfigError: it is to be drawn, and cannot.
    """

    def __init__(
        self,
        task: str,
        num_envs: int,
        action_repeat: int,
        pixels: int | None,
        draws: bool = False,
    ) -> None:
        draws = draws or pixels is not None
        first = load(task, draws)
        if draws:  # fail now, not when something has been written
            first.reset(seed=0)
            picture(first, task)
        self._parts = observation_parts(first.observation_space, f"gym:{task}", single=True)
        self._pixels = pixels
        observations = tuple(part.spec for part in self._parts)
        if pixels is not None:
            shape = (pixels, pixels, 3)
            spec = ArraySpec(name=CAMERA, shape=shape, dtype="uint8", role=Role.pixels)
            observations = (*observations, spec)
        fps = first.metadata.get("render_fps")
        info = EnvironmentInfo(
            suite="gym",
            task=task,
            action_repeat=action_repeat,
            control_timestep=1 / fps if fps else None,
        )
        action = action_spec(first.action_space, f"gym:{task}", single=True)
        envs = [first, *(load(task, draws) for _ in range(num_envs - 1))]
        limit = first.spec.max_episode_steps or UNLIMITED_EPISODE
        super().__init__(observations, action, info, envs, limit)

    def _start(self, i: int, seed: int) -> Any:
        observation, _ = self._envs[i].reset(seed=seed)
        return observation

    def _advance(self, i: int, action: np.ndarray, repeats: int) -> Advance:
        total, observation, terminated, truncated = 0.0, None, False, False
        for _ in range(repeats):
            given = self._given(i, action)  # anew: it may have been written into
            observation, reward, terminated, truncated, _ = self._envs[i].step(given)
            total += float(reward)
            if terminated or truncated:
                break
        return Advance(total, observation, bool(terminated), bool(truncated))

    def _given(self, i: int, action: np.ndarray) -> Any:
        """A recorded action as the environment takes it; one that it may write into."""
        if not action.shape:  # a Discrete space wants a number
            return action.item()
        space = self._envs[i].action_space
        typed = action.astype(space.dtype)
        if typed.dtype == action.dtype or typed.dtype.kind != "f":
            return typed
        # a bound in float64 may lie between two of float32
        return np.clip(typed, space.low, space.high)

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
            ConfigError: it draws nothing, cannot here, or was not made to draw.
        """
        if camera is not None:
            raise ConfigError("has no cameras to choose from", self.info.task, "leave camera out")
        env = self._envs[i]
        if env.render_mode != "rgb_array":
            what, hint = "was not made to draw pictures", "make it with draws=True"
            raise ConfigError(what, self.info.task, hint)
        frame = picture(env, self.info.task)
        rows = np.arange(height) * frame.shape[0] // height
        columns = np.arange(width) * frame.shape[1] // width
        return frame[rows][:, columns]

    def _write(self, observations: dict[str, np.ndarray], i: int, observation: Any) -> None:
        for part in self._parts:
            observations[part.spec.name][i] = part.of(observation)
        if self._pixels is not None:
            observations[CAMERA][i] = self.render(i, self._pixels, self._pixels)
