"""A search in a world model: towards rewards, or towards a goal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from lawm_schemas import ConfigError
from torch import Tensor

from lawm_models.networks.planning_model import PlanningModel, Space
from lawm_models.planning.planners import PLANNERS
from lawm_models.planning.planners._protocol import Found, PlannerConfig

ROWS_AT_ONCE = 1024
"""Sequences that a model on a CPU tries side by side: what they compute stays in its caches."""


class Goal(NamedTuple):
    """An observation to reach, on the model's scale."""

    target: Float[Tensor, "N D"]
    """Of each environment."""
    unit: Float[Tensor, " D"]
    """What counts as 1 in each of its numbers."""


class ModelPlanner:
    """A planner that tries its sequences in a world model.

    The cost of a sequence is minus its discounted rewards, with the value of the state that it ends
    in, each as likely as it is that the trajectory has gone on until then; or with a goal the mean
    squared distance of the last observation to it.

    Args:
        model: the world model.
        name: one of ``PLANNERS``.
        settings: of that planner, by name; what is not named takes its default.
        goals: whether it plans towards goals, and not for rewards.

    Raises:
        ConfigError: no such planner, settings that do not fit it or the model, or a model that
            predicts no rewards where they are wanted.
    """

    config: PlannerConfig
    """All its settings, the space written out."""

    def __init__(
        self,
        model: PlanningModel,
        name: str,
        settings: Mapping[str, Any] | None = None,
        goals: bool = False,
    ) -> None:
        module = PLANNERS.load(name)
        config = module.Config.parse(dict(settings or {}), f"planner {name}")
        usual = next(iter(model.spaces))
        if config.space is not None and config.space not in model.spaces:
            known = ", ".join(model.spaces)
            what = f"the model has no {config.space!r} to search"
            raise ConfigError(what, f"planner {name}, space", f"known ones: {known}")
        if not goals and not model.pays:
            what = "the model predicts no rewards to plan for"
            raise ConfigError(what, f"planner {name}", "plan towards goals: lawm plan RUN")
        self.model, self.name, self.goals = model, name, goals
        self.space: Space = config.space or usual
        self.config = config.model_copy(update={"space": self.space})
        self.search = module.Planner(self.config)

    @property
    def size(self) -> int:
        """K, numbers of a choice."""
        return self.model.spaces[self.space]

    def nothing(self, environments: int, horizon: int | None = None) -> Float[Tensor, "N W H K"]:
        """Where the first search begins, of the usual horizon if none is given."""
        steps = horizon or self.config.horizon
        return self.model.like.new_zeros(environments, self.search.kept, steps, self.size)

    @torch.no_grad()
    def plan(
        self,
        state: Float[Tensor, "N S"],
        begin: Float[Tensor, "N W H K"],
        generator: torch.Generator,
        goal: Goal | None = None,
    ) -> Found:
        """Search from N states, over as many steps as ``begin`` has."""

        def cost(tried: Tensor) -> Tensor:
            if tried.device.type != "cpu":
                return self._cost(state, tried, goal)
            size = max(1, ROWS_AT_ONCE // tried.shape[1])
            parts = []
            for first in range(0, len(tried), size):
                some = slice(first, first + size)
                wanted = goal and Goal(goal.target[some], goal.unit)
                parts.append(self._cost(state[some], tried[some], wanted))
            return torch.cat(parts)

        return self.search.search(cost, begin, generator)

    def _cost(
        self, state: Float[Tensor, "N S"], tried: Float[Tensor, "N P H K"], goal: Goal | None
    ) -> Float[Tensor, "N P"]:
        """Of sequences that are tried from N states."""
        model, (n, samples, steps, _) = self.model, tried.shape
        at = state.repeat_interleave(samples, 0)
        total, alive = at.new_zeros(len(at)), at.new_ones(len(at))
        for k, choice in enumerate(tried.flatten(0, 1).unbind(1)):
            at = model.step(at, choice, self.space)
            if goal is None:
                total = total - model.discount**k * (alive * model.reward(at))
                alive = alive * model.continuation(at)
        if goal is not None:
            wanted = goal.target.repeat_interleave(samples, 0)
            total = ((model.predicted(at) - wanted) / goal.unit).square().mean(-1)
        elif self.config.value:
            total = total - model.discount**steps * (alive * model.value(at))
        return total.view(n, samples)

    @torch.no_grad()
    def actions(
        self, state: Float[Tensor, "N S"], plan: Float[Tensor, "N H K"]
    ) -> Float[Tensor, "N H A"]:
        """Normalised actions of a plan that is acted out without looking."""
        taken = []
        for choice in plan.unbind(1):
            taken.append(self.model.action(state, choice, self.space))
            state = self.model.step(state, choice, self.space)
        return torch.stack(taken, 1)


def shifted(kept: Float[Tensor, "N W H K"]) -> Float[Tensor, "N W H K"]:
    """Sequences one step later; the step that is new is 0."""
    return torch.cat((kept[:, :, 1:], torch.zeros_like(kept[:, :, :1])), 2)
