"""Any task of the dm_control suite, ``domain-task``, such as ``walker-walk``."""

from __future__ import annotations

from typing import Any

import numpy as np
from lawm_schemas import Drawing, EnvironmentInfo

from lawm_data.envs.distractors import Distractors
from lawm_data.envs.suites import _errors, _suite
from lawm_data.envs.suites._copies import Advance, Copies
from lawm_data.envs.suites._protocol import Environments

ACTION_REPEAT = 2
"""Control steps per recorded step when nobody says."""
TERMINATES = False
"""Tasks end by the time limit, but for lqr, where reaching the goal ends a trajectory, too."""
DRAWING = Drawing(by="fast")
"""How the pictures of a new corpus are drawn when nobody says."""


def require_task(task: str) -> None:
    """See ``lawm_data.envs.suites.require_task``."""
    _suite.require_task(task)


def describe(task: str, action_repeat: int) -> EnvironmentInfo:
    """What a corpus remembers of a task."""
    return _suite.environment_info(_suite.load(task), task, action_repeat)


def make(
    task: str,
    *,
    num_envs: int,
    action_repeat: int,
    pixels: int | None,
    physics: bool,
    direct: bool | None,
    drawing: Drawing | None = None,
) -> Environments:
    """Make N copies of a suite task; see ``lawm_data.envs.suites.make``."""
    first = _suite.load(task)
    settings = (num_envs, action_repeat, pixels, physics, drawing)
    if direct is not False:
        from lawm_data.envs.direct import find
        from lawm_data.envs.direct._environments import DirectEnvironments

        body = find(task, required=direct is True)
        if body is not None:
            return DirectEnvironments(task, first, body, *settings)
    return SuiteEnvironments(task, first, *settings)


class SuiteEnvironments(Copies):
    """N suite environments, stepped one after the other through the suite's own Python layer.

    Args:
        task: name ``domain-task``.
        first: the suite's environment, used for the first copy.
        num_envs: N.
        action_repeat: control steps per step.
        pixels: edge of a square camera image, or none.
        physics: observe the simulator's state, too.
        drawing: how the image is drawn; None draws as the suite does.
    """

    def __init__(
        self,
        task: str,
        first: Any,
        num_envs: int,
        action_repeat: int,
        pixels: int | None,
        physics: bool = True,
        drawing: Drawing | None = None,
    ) -> None:
        self._physics, self._seeds = physics, [0] * num_envs
        distractors = Distractors(drawing, pixels or 1)
        super().__init__(
            _suite.observation_specs(first, pixels, physics, distractors),
            _suite.action_spec(first),
            _suite.environment_info(first, task, action_repeat),
            [first, *(_suite.load(task) for _ in range(num_envs - 1))],
            _suite.control_steps(first),
        )
        eyes = self._envs if pixels is not None else ()
        self._eyes = [_suite.Eye(env, task, pixels or 1, distractors) for env in eyes]
        if self._eyes:
            self.look(0)  # fail now, not at the first step

    def restore(self, i: int, physics: np.ndarray) -> dict[str, np.ndarray]:
        """See ``Environments.restore``."""
        observation = _suite.restore(self._envs[i], self.info.task, physics)
        shapes = {spec.name: spec.shape for spec in self.observations}
        fields = {
            name: np.asarray(value, np.float32).reshape(shapes[name])
            for name, value in observation.items()
        }
        return {**fields, "physics": physics}

    def unrestorable(self) -> frozenset[str]:
        """See ``Environments.unrestorable``."""
        return _suite.unrestorable(self._envs[0], self.info.task)

    def remembers(self) -> bool:
        """See ``Environments.remembers``."""
        return _suite.remembers(self._envs[0])

    def seed_matters(self) -> bool:
        """See ``Environments.seed_matters``."""
        return _suite.seed_matters(self._envs[0], self.info.task)

    def render(
        self, i: int, height: int, width: int, camera: int | str | None = None
    ) -> np.ndarray:
        """See ``Environments.render``."""
        return _suite.render(self._envs[i], self.info.task, height, width, camera)

    def look(self, i: int, t: int | None = None) -> dict[str, np.ndarray]:
        """See ``Environments.look``."""
        return self._eyes[i].look(self._seeds[i], self.steps_done if t is None else t)

    def _start(self, i: int, seed: int) -> Any:
        self._seeds[i] = seed
        return _suite.reset(self._envs[i], self.info.task, seed)

    def _advance(self, i: int, action: np.ndarray, repeats: int) -> Advance:
        env, total, terminated = self._envs[i], 0.0, False
        with _errors.simulating(self.info.task):
            for _ in range(repeats):
                reward, terminated = _suite.advance(env, action)
                total += reward
                if terminated:
                    break
            observation = env.task.get_observation(env.physics)
        return Advance(total, observation, terminated, truncated=False)

    def _write(self, observations: dict[str, np.ndarray], i: int, observation: Any) -> None:
        for name, value in observation.items():
            observations[name][i] = value
        if self._physics:
            observations["physics"][i] = self._envs[i].physics.get_state()
        if self._eyes:
            for name, value in self.look(i).items():
                observations[name][i] = value
