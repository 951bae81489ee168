"""N bodies in lockstep, started by the suite and stepped without it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from lawm_schemas import Drawing, Role

from lawm_data.envs.direct._body import Body, mujoco
from lawm_data.envs.distractors import Distractors
from lawm_data.envs.suites import _errors, _suite
from lawm_data.envs.suites._protocol import Environments, Step


class DirectEnvironments(Environments):
    """N copies of a task that share one model and one suite environment.

    Args:
        task: name ``domain-task``.
        suite: the suite's environment: it starts episodes and draws pictures.
        body: the task.
        num_envs: N.
        action_repeat: control steps per step.
        pixels: edge of a square camera image, or none.
        physics: observe the simulator's state, too.
        drawing: how the image is drawn; None draws as the suite does.
    """

    def __init__(
        self,
        task: str,
        suite: Any,
        body: type[Body],
        num_envs: int,
        action_repeat: int,
        pixels: int | None,
        physics: bool = True,
        drawing: Drawing | None = None,
    ) -> None:
        distractors = Distractors(drawing, pixels or 1)
        self.observations = _suite.observation_specs(suite, pixels, physics, distractors)
        self.action = _suite.action_spec(suite)
        self.info = _suite.environment_info(suite, task, action_repeat)
        self.num_envs = num_envs
        self._control_steps = _suite.control_steps(suite)
        self.steps_per_episode = math.ceil(self._control_steps / action_repeat)
        self._suite = suite
        self._physics, self._seeds = physics, [0] * num_envs
        self._eye = None if pixels is None else _suite.Eye(suite, task, pixels, distractors)
        specs = self.observations[-1 - len(distractors) :] if self._eye else ()
        self._seen = {spec.name: np.zeros((num_envs, *spec.shape), spec.dtype) for spec in specs}
        self.at_once = pixels is None
        self._build(body)
        self._done = 0
        self._running: list[tuple[int, Body]] = []
        self._ended = np.zeros(num_envs, bool)
        if self._eye is not None:
            self.look(0)  # fail now, not at the first step

    def _build(self, body: type[Body]) -> None:
        """Lay out the arrays that all bodies share, and the bodies."""
        model, n = self._suite.physics.model.ptr, self.num_envs
        self._physics_dim = model.nq + model.nv
        state = [spec for spec in self.observations if spec.role is Role.state]
        ends = np.cumsum([spec.size for spec in state]).tolist()
        self._fields = [
            (spec.name, slice(end - spec.size, end)) for spec, end in zip(state, ends, strict=True)
        ]
        width, self._state_start = body.layout(model)
        assert width == self._state_start + ends[-1], "a row must end in the suite's observation"
        self._rows = np.zeros((n, width))
        self._actions = np.zeros((n, model.nu))
        substeps = _suite.substeps(self._suite)
        lanes = zip(self._actions, self._rows, strict=True)
        self._bodies = [body(model, substeps, action, row) for action, row in lanes]

    def reset(self, seeds: Sequence[int | None]) -> dict[str, np.ndarray]:
        """See ``Environments.reset``."""
        padded = self._pad(seeds)
        self._rows[:] = 0
        for seen in self._seen.values():
            seen.fill(0)
        self._done = 0
        self._ended = np.zeros(self.num_envs, bool)
        self._running = []
        for i, seed in enumerate(padded):
            if seed is not None:
                self._seeds[i] = seed
                _suite.reset(self._suite, self.info.task, seed)
                self._bodies[i].start(self._suite.physics.data.ptr)
                self._running.append((i, self._bodies[i]))
        return self._observe()

    def step(self, actions: np.ndarray) -> Step:
        """See ``Environments.step``.

        A divergence is reported at the end of the episode, when nothing of it has been kept yet.
        """
        self._check(actions)
        np.copyto(self._actions, actions)
        repeats = min(self.info.action_repeat, self._control_steps - self._done)
        rewards = [0.0] * self.num_envs
        for i, body in self._running:
            rewards[i] = body.advance(repeats)
            body.observe()
        self._done += repeats
        observations = self._observe()
        self._end_at_limit()
        reward = np.array(rewards, np.float32)
        return Step(observations, reward, np.zeros(self.num_envs, bool), self._ended.copy())

    def open_loop(self, actions: np.ndarray) -> Step | None:
        """See ``Environments.open_loop``."""
        self._check(actions[:, 0])
        steps, repeat = actions.shape[1], self.info.action_repeat
        controls = min(steps * repeat, self._control_steps - self._done)
        last = np.minimum(np.arange(1, steps + 1) * repeat, controls) - 1
        rewards = np.zeros((self.num_envs, steps))
        rows = np.repeat(self._rows[:, None], steps, axis=1)
        for i, body in self._running:
            path = body.follow(np.repeat(actions[i], repeat, axis=0)[:controls].astype(np.float64))
            if path is None:
                return None
            paid = np.zeros(steps * repeat)
            paid[:controls] = body.rewards(path)
            for each in paid.reshape(steps, repeat).T:  # in the order of ``step``'s sum
                rewards[i] += each
            rows[i] = body.rows(path.at(last))
        self._rows[:] = rows[:, -1]
        self._done += controls
        self._end_at_limit()
        truncated = np.zeros((self.num_envs, steps), bool)
        truncated[:, -1] = self._ended
        terminated = np.zeros_like(truncated)
        return Step(self._read(rows), rewards.astype(np.float32), terminated, truncated)

    def _end_at_limit(self) -> None:
        """End the episodes when all control steps are done."""
        if self._running and self._done >= self._control_steps:
            for i, body in self._running:
                if body.diverged():
                    raise _errors.diverged(self.info.task)
                self._ended[i] = True
            self._running = []

    def restore(self, i: int, physics: np.ndarray) -> dict[str, np.ndarray]:
        """See ``Environments.restore``."""
        _suite.require_state(physics, self._physics_dim, self.info.task)
        self._bodies[i].restore(physics)
        row = self._rows[i]
        state = row[self._state_start :].astype(np.float32)
        return {**{name: state[columns] for name, columns in self._fields}, "physics": physics}

    def unrestorable(self) -> frozenset[str]:
        """See ``Environments.unrestorable``."""
        return _suite.unrestorable(self._suite, self.info.task)

    def remembers(self) -> bool:
        """See ``Environments.remembers``."""
        return _suite.remembers(self._suite)

    def seed_matters(self) -> bool:
        """See ``Environments.seed_matters``."""
        return _suite.seed_matters(self._suite, self.info.task)

    def render(
        self, i: int, height: int, width: int, camera: int | str | None = None
    ) -> np.ndarray:
        """See ``Environments.render``."""
        self._show(i)
        return _suite.render(self._suite, self.info.task, height, width, camera)

    def look(self, i: int, t: int | None = None) -> dict[str, np.ndarray]:
        """See ``Environments.look``."""
        assert self._eye is not None
        self._show(i)
        done = math.ceil(self._done / self.info.action_repeat)
        return self._eye.look(self._seeds[i], done if t is None else t)

    def _show(self, i: int) -> None:
        """Put the suite's environment, which is drawn, where a body is."""
        body, data = self._bodies[i], self._suite.physics.data.ptr
        mujoco.mj_copyData(data, body.model, body.data)
        # A body may leave positions in space behind; they follow from the joints' alone.
        mujoco.mj_kinematics(body.model, data)
        mujoco.mj_comPos(body.model, data)
        mujoco.mj_camlight(body.model, data)

    def _observe(self) -> dict[str, np.ndarray]:
        """What the present states show."""
        observations = self._read(self._rows)
        if self._eye is not None:
            for i, _ in self._running:
                for name, value in self.look(i).items():
                    self._seen[name][i] = value
            observations |= {name: seen.copy() for name, seen in self._seen.items()}
        return observations

    def _read(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Rows (..., width) as observations; state fields are views of one float32 array."""
        state = rows[..., self._state_start :].astype(np.float32)
        observations = {name: state[..., columns] for name, columns in self._fields}
        if self._physics:
            observations["physics"] = rows[..., : self._physics_dim].copy()
        return observations
