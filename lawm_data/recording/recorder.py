"""Recording any Gymnasium environment, a robot too, into a corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import MANIFEST, ConfigError, EnvironmentInfo, LineageStep, Provenance

from lawm_data.corpus.writing.commit import whole_number
from lawm_data.corpus.writing.record import beyond_bounds
from lawm_data.corpus.writing.writer import CorpusWriter
from lawm_data.envs.spaces import action_spec, observation_parts
from lawm_data.envs.suites.gym import makes

try:
    import gymnasium
except ModuleNotFoundError:
    raise ConfigError("needs gymnasium", "recording", "pip install 'lawm[gym]'") from None


class RecordTrajectories(gymnasium.Wrapper):
    """A Gymnasium wrapper that writes every trajectory into a corpus.

    A trajectory begins with ``reset`` and ends when the environment terminates or truncates it,
    with the next ``reset``, or with ``close``; one without a step is none. Every ``every``
    trajectories are committed: a killed program loses those after the last commit, and the corpus
    opens. A corpus that is there already is gone on with.

    Args:
        env: the environment; observations and actions are arrays of numbers.
        path: folder of the corpus.
        every: trajectories per commit.
        record_actions: False when ``step`` does not get what was really done (somebody else holds
            the joystick): the actions are missing then, and nothing stands in for them. Single
            ones are left out with ``step(None)``, where the environment takes that.
        provenance: where the trajectories come from.
        licence: SPDX licence of the corpus.

    Raises:
        ConfigError: the spaces are no arrays, or the corpus there holds other ones.
        StorageError: somebody else is writing to it, or the file system refused.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        path: str | Path,
        *,
        every: int = 1,
        record_actions: bool = True,
        provenance: Provenance | None = None,
        licence: str | None = None,
    ) -> None:
        super().__init__(env)
        if every < 1:
            raise ConfigError(f"{every} is below 1", "every", "give 1 or more")
        where, path = str(path), Path(path)
        self._parts = observation_parts(env.observation_space, where)
        self._action = action_spec(env.action_space, where)
        self._every = every
        self._record_actions = record_actions
        self._provenance = provenance or Provenance(source="recorded", origin="rollout")
        self._writer = self._open(path, licence)
        self._trajectory: _Unfinished | None = None

    def _open(self, path: Path, licence: str | None) -> CorpusWriter:
        observations = tuple(part.spec for part in self._parts)
        if not (path / MANIFEST).exists():
            info = _environment(self.env)
            task = info.task if info else type(self.env.unwrapped).__name__
            return CorpusWriter.create(
                path,
                observations=observations,
                action=self._action,
                environment=info,
                lineage=(LineageStep(operation="record", settings={"environment": task}),),
                licence=licence,
            )
        writer = CorpusWriter.append(path)
        if (writer.manifest.observations, writer.manifest.action) != (observations, self._action):
            writer.discard()
            hint = "choose another folder"
            raise ConfigError("holds other arrays than this environment", str(path), hint)
        return writer

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin a trajectory; what was going on is kept as one that simply stops.

        Raises:
            CorpusError: the seed is not a whole number of 64 bits; the environment was not reset.
        """
        whole_number(seed, "seed", 64)
        self._finish(False, False)
        observation, info = self.env.reset(seed=seed, options=options)
        try:
            text = json.dumps(options, allow_nan=False)
            metadata = {"options": json.loads(text)} if options else {}
        except (TypeError, ValueError):  # JSON cannot hold these options
            metadata = {}
        self._trajectory = _Unfinished(seed, metadata)
        self._trajectory.observations.append(self._arrays(observation))
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment and record it.

        The environment is stepped with what is recorded: an action in another type than that of
        the space, such as float64 for float32, is rounded before it is done.

        Raises:
            ConfigError: no trajectory is going on, or the action is not one of the space; the
                environment was not stepped.
        """
        trajectory = self._trajectory
        if trajectory is None:
            raise ConfigError("the trajectory is over", "step", "call reset first")
        known = self._known(action)
        done = action if known is None else _as_given(known, action)
        observation, reward, terminated, truncated, info = self.env.step(done)
        trajectory.observations.append(self._arrays(observation))
        trajectory.actions.append(known)
        trajectory.rewards.append(float(reward))
        if terminated or truncated:
            self._finish(bool(terminated), bool(truncated))
        return observation, reward, bool(terminated), bool(truncated), info

    def close(self) -> None:
        """Keep what was going on, commit everything, and close the environment."""
        try:
            self._finish(False, False)
            self._writer.close()
        finally:
            self.env.close()

    def _arrays(self, observation: Any) -> dict[str, np.ndarray]:
        return {part.spec.name: part.of(observation) for part in self._parts}

    def _known(self, action: Any) -> np.ndarray | None:
        """The action as it is recorded; None when it is not."""
        if not self._record_actions or action is None:
            return None
        spec = self._action
        try:
            given = np.asarray(action)
            array = given.astype(spec.dtype).reshape(spec.shape)
        except (TypeError, ValueError):
            raise ConfigError(
                "is not an action of the space", "step", f"give {spec.shape}"
            ) from None
        if array.dtype.kind != "f" and (array != given.reshape(spec.shape)).any():
            hint = f"give {array.dtype} {spec.shape}"
            raise ConfigError("is not one of the whole numbers of the space", "step", hint)
        if not np.isfinite(array).all() or beyond_bounds(array[None], spec).any():
            hint = "put gymnasium.wrappers.ClipAction around the recorder"
            raise ConfigError("the action is outside of the space", "step", hint)
        return array

    def _finish(self, terminated: bool, truncated: bool) -> None:
        trajectory, self._trajectory = self._trajectory, None
        if trajectory is None or not trajectory.rewards:
            return
        names = trajectory.observations[0]
        actions, observed = trajectory.known(self._action.shape, self._action.dtype)
        self._writer.add(
            {name: np.stack([row[name] for row in trajectory.observations]) for name in names},
            np.array(trajectory.rewards),
            actions if observed.any() else None,
            action_observed=observed,
            terminated=terminated,
            truncated=truncated,
            provenance=self._provenance,
            seed=trajectory.seed,
            metadata=trajectory.metadata,
        )
        if self._writer.pending >= self._every:
            self._writer.commit()


class _Unfinished:
    """The trajectory that is going on."""

    def __init__(self, seed: int | None, metadata: dict[str, Any]) -> None:
        self.seed = seed
        self.metadata = metadata
        self.observations: list[dict[str, np.ndarray]] = []
        self.actions: list[np.ndarray | None] = []
        self.rewards: list[float] = []

    def known(self, shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, np.ndarray]:
        """(T, *shape) and (T,) bool: the actions, and which of them are known."""
        observed = np.array([action is not None for action in self.actions], bool)
        blank = np.zeros(shape, dtype)
        rows = [blank if action is None else action for action in self.actions]
        return np.array(rows, dtype).reshape(len(rows), *shape), observed


def _as_given(known: np.ndarray, action: Any) -> Any:
    """The recorded action for the environment, which may write into it.

    What is recorded as it was given stays the object that it is: a Discrete space may want an int.
    """
    given = np.asarray(action)
    same = (given.dtype, given.shape) == (known.dtype, known.shape)
    return action if same else known.copy()[()]


def _environment(env: gymnasium.Env) -> EnvironmentInfo | None:
    """The environment, when its id alone makes it again."""
    spec = env.spec
    if spec is None or spec.id not in gymnasium.registry:
        return None
    if not makes(spec.id, spec.kwargs, spec.max_episode_steps, spec.additional_wrappers):
        return None
    fps = env.metadata.get("render_fps")
    return EnvironmentInfo(suite="gym", task=spec.id, control_timestep=1 / fps if fps else None)
