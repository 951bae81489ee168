"""A planner as a policy: it plans anew at every step, from where it has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from lawm_schemas import ConfigError
from torch import Tensor

from lawm_models.acting.observation import ObservationLike, read_observation
from lawm_models.acting.policy import Policy
from lawm_models.networks.planning_model import PlanningModel
from lawm_models.networks.policies import StepPolicy
from lawm_models.planning.planner import Goal, ModelPlanner, shifted


class PlanningPolicy(StepPolicy):
    """Takes the first action of a plan at every step (model predictive control).

    Its memory is the model's, and the sequences that the next search begins with.

    Args:
        planner: the search.
        goal: what to reach, if it is not after rewards: the observation (1, O) of all environments.
    """

    def __init__(self, planner: ModelPlanner, goal: Float[Tensor, "1 O"] | None = None) -> None:
        self.planner, self._goal = planner, None
        model = planner.model
        if goal is not None:
            with torch.no_grad():
                target = model.target(goal.to(model.like))
            self._goal = Goal(target, torch.ones_like(target[0]))
        size = planner.nothing(1).numel()
        super().__init__(model.memory_dim + size, model.like)

    def step(
        self,
        observation: Float[Tensor, "N O"],
        memory: Float[Tensor, "N M"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N M"]]:
        """See ``StepPolicy.step``."""
        model, n = self.planner.model, len(observation)
        known, kept = memory.tensor_split([model.memory_dim], 1)
        state = model.infer(observation, known)
        goal = self._goal and Goal(self._goal.target.expand(n, -1), self._goal.unit)
        found = self.planner.plan(state, kept.view_as(self.planner.nothing(n)), generator, goal)
        action = model.scale.taken(model.action(state, found.plan[:, 0], self.planner.space))
        memory = torch.cat((model.remember(state, action), shifted(found.kept).flatten(1)), 1)
        return model.scale.to_environment(action), memory


def planning_policy(
    model: PlanningModel,
    planner: str,
    settings: Mapping[str, Any] | None = None,
    goal: ObservationLike | None = None,
    **about: Any,
) -> Policy:
    """A policy that plans, for an environment.

    Args:
        model: the world model; it reads the fields of the policy.
        planner: one of ``PLANNERS``.
        settings: of the planner, by name.
        goal: one observation to reach, instead of rewards.
        about: what else a ``Policy`` is made of.

    Raises:
        ConfigError: no such planner, or it cannot do what is asked.
    """
    search = ModelPlanner(model, planner, settings, goals=goal is not None)
    target = None
    if goal is not None:
        state, robots = read_observation(goal, about["state"])
        if robots:
            raise ConfigError("is a batch of observations", "goal", "give one observation")
        target = torch.from_numpy(state)
    chosen = {"name": planner, **search.config.model_dump(mode="json")}
    return Policy(PlanningPolicy(search, target), planner=chosen, **about)
