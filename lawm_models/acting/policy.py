"""A trained policy in a user's own loop: observations in, the environment's actions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, EnvironmentInfo

from lawm_data.envs.convert import nearest
from lawm_data.envs.policy import VectorPolicy
from lawm_models.acting.export import export_policy
from lawm_models.acting.observation import ObservationLike, read_observation

Action = np.ndarray | int | float | bool
"""What the environment takes: an array, or a number where its action is one."""


class Policy:
    """A trained policy, which acts in the units, types and shapes of its environment.

    It needs neither the corpus nor the environment. It remembers what it has seen since ``reset``::

        policy = load_run("runs/a").policy()
        policy.reset()
        action = policy.act(observation)

    Args:
        actor: chooses actions as vectors, as ``lawm_data.envs.rollout`` wants them.
        name: name of the algorithm, or kind of agent.
        weights: hash of its weights.
        state: the fields that it reads, in order.
        action: the action that it chooses.
        environment: where it learned, if that is known.
        deterministic: whether it acts without noise.
        planner: name and settings of the planner that searches for its actions, if one does.
    """

    def __init__(
        self,
        actor: VectorPolicy,
        *,
        name: str,
        weights: str,
        state: Sequence[ArraySpec],
        action: ArraySpec,
        environment: EnvironmentInfo | None = None,
        deterministic: bool = True,
        planner: Mapping[str, Any] | None = None,
    ) -> None:
        self.actor, self.planner = actor, planner
        self.name, self.weights = name, weights
        self.state, self.action = tuple(state), action
        self.environment, self.deterministic = environment, deterministic
        self._seed, self._robots = 0, None

    def __repr__(self) -> str:
        reads = ", ".join(f"{spec.name}{list(spec.shape)}" for spec in self.state)
        noise = "" if self.deterministic else ", with noise"
        if self.planner is not None:
            noise = f", by {self.planner['name']}"
        chooses = f"{self.action.dtype}{list(self.action.shape)}"
        return f"Policy({self.name}: {reads} to {self.action.name} {chooses}{noise})"

    @property
    def memory(self) -> int:
        """Numbers that it remembers of each robot; 0 where it acts on the observation alone."""
        return getattr(self.actor, "memory_dim", 0)

    def reset(self, ended: np.ndarray | Sequence[bool] | None = None, *, seed: int = 0) -> None:
        """Forget what has been seen: a trajectory begins.

        Args:
            ended: (N,) booleans, which robots of a batch begin anew while the others go on. None
                for all; then the next ``act`` says how many there are.
            seed: of the noise of a policy that has some; of no meaning with ``ended``.

        Raises:
            ConfigError: ``ended`` is not about the robots that act.
        """
        if ended is None:
            self._seed, self._robots = seed, None
            return
        mask = np.asarray(ended)
        if not self._robots:
            raise ConfigError("is of a batch, and none acts", "ended", "call reset() for all")
        if mask.dtype != bool or mask.shape != (self._robots,):
            what = f"has shape {mask.shape} and type {mask.dtype}"
            raise ConfigError(what, "ended", f"give {self._robots} booleans")
        forget = getattr(self.actor, "forget", None)
        if forget is None:
            raise ConfigError("forgets all robots or none", self.name, "call reset() for all")
        forget(mask)

    def act(self, observation: ObservationLike) -> Action:
        """The action at an observation.

        Args:
            observation: the fields of ``state`` by name, each of its shape for one robot, or with
                a leading N for a batch; names are nested as Gymnasium nests them, or dotted. Other
                fields are not looked at. Or an array: the only field, or all of them flattened and
                concatenated in the order of ``state``, (O,) or (N, O).

        Returns:
            The action in the environment's units, type and shape, within its bounds, with a leading
            N for a batch. One robot's action is a number where it has no axis: an ``int`` for
            Gymnasium's ``Discrete``.

        Raises:
            ConfigError: a field is missing, of another shape or not finite, there are more or fewer
                robots than in the step before, or the action is not finite. What is remembered is
                as it was before.
        """
        state, robots = read_observation(observation, self.state, self._robots)
        if self._robots is None:
            self.actor.start(len(state), self._seed)
            self._robots = robots
        actions = nearest(self.actor.act(state), self.action, self.name)
        if robots:
            return actions
        return actions[0] if self.action.shape else actions[0].item()

    def export(self, path: Path | str) -> Path:
        """Write the policy as a program of one step, for machines without this package.

        ``.pt2`` is a ``torch.export`` archive, ``.onnx`` an ONNX model. With a memory, the program
        is ``(observation, state) → (action, next_state)``, else ``observation → action``:

        - ``observation``: (N, O) float32, the fields of ``Policy.state``, flattened and
          concatenated in their order;
        - ``state``: (N, M) float32, zeros where a trajectory begins, and then the ``next_state`` of
          the step before;
        - ``action``: (N, …), what ``act`` returns for a batch.

        A program refuses nothing: of a robot whose observation is not finite the action means
        nothing, and ``next_state`` is the ``state`` that was given.

        The file holds the names, shapes and order of all this as JSON, under ``lawm``.

        Args:
            path: file to write, FILE.pt2 or FILE.onnx; an older one gives way.

        Returns:
            The path.

        Raises:
            ConfigError: another suffix, a policy that plans or acts with noise, one that is no
                function of tensors, or the packages of the extra ``onnx`` are missing.
            StorageError: the file system refused.
        """
        if self.planner is not None:
            hint = "export the learned policy, if there is one"
            raise ConfigError("searches by chance, which no program can", self.name, hint)
        if not self.deterministic:
            hint = "take the policy without noise"
            raise ConfigError("acts with noise, which a program has not", self.name, hint)
        facts = {
            "algorithm": self.name,
            "weights": self.weights,
            "environment": self.environment and self.environment.model_dump(mode="json"),
        }
        return export_policy(self.actor, self.state, self.action, Path(path), facts)
