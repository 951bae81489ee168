"""What a planner asks of a world model, and how recurrent world models answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lawm_models.networks.dynamics import State
from lawm_models.networks.policies import FeatureEncoders, split
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.world_model import WorldModel

Space = Literal["actions", "latents", "controller", "blind_controller"]
"""What is searched: normalised actions; latent actions, which are decoded; or actions that the
model takes through its latent actions, by a controller that sees the state or by one that does
not."""


class PlanningModel(ABC):
    """A world model as planners read it: states, and choices in [-1, 1] that lead to the next.

    Every method takes rows side by side and draws nothing: predictions are means.
    """

    scale: ActionScale
    """From normalised actions to the environment's."""
    like: Tensor
    """A tensor of its networks, for their device and type."""
    memory_dim: int
    """M, numbers that it remembers between observations; zeros before the first."""
    context: int = 1
    """C, the observations that a state is made of, if it is made of nothing else; else 1."""
    spaces: Mapping[Space, int]
    """What can be searched, the usual one first, and K, how many numbers a choice has there."""
    pays: bool = False
    """Whether it predicts rewards."""
    discount: float = 1.0
    """γ of the rewards."""

    @abstractmethod
    def infer(
        self, observation: Float[Tensor, "N O"], memory: Float[Tensor, "N M"]
    ) -> Float[Tensor, "N S"]:
        """The state at an observation, given what is remembered."""

    @abstractmethod
    def remember(
        self, state: Float[Tensor, "N S"], action: Float[Tensor, "N A"]
    ) -> Float[Tensor, "N M"]:
        """What is remembered once a normalised action is taken in a state."""

    @abstractmethod
    def step(
        self, state: Float[Tensor, "B S"], choice: Float[Tensor, "B K"], space: Space
    ) -> Float[Tensor, "B S"]:
        """The next state."""

    @abstractmethod
    def action(
        self, state: Float[Tensor, "B S"], choice: Float[Tensor, "B K"], space: Space
    ) -> Float[Tensor, "B A"]:
        """The normalised action that a choice stands for in a state."""

    @abstractmethod
    def predicted(self, state: Float[Tensor, "B S"]) -> Float[Tensor, "B D"]:
        """What is observed in a state, on the model's scale."""

    @abstractmethod
    def target(self, observation: Float[Tensor, "N O"]) -> Float[Tensor, "N D"]:
        """An observation on that scale."""

    def reward(self, state: Float[Tensor, "B S"]) -> Float[Tensor, " B"]:
        """The reward of arriving in a state, on the scale of ``value``; 0 without ``pays``."""
        return state.new_zeros(len(state))

    def continuation(self, state: Float[Tensor, "B S"]) -> Float[Tensor, " B"]:
        """The probability that a trajectory goes on from a state, 1 where that is not learned."""
        return state.new_ones(len(state))

    def value(self, state: Float[Tensor, "B S"]) -> Float[Tensor, " B"]:
        """The discounted rewards after a state, 0 where no values are learned."""
        return state.new_zeros(len(state))


class LatentActions(NamedTuple):
    """How a world model with latent actions decodes them. All take features first."""

    dim: int
    """U."""
    decode: Callable[[Tensor, Tensor], Tensor]
    """A choice in [-1, 1]^U to a normalised action."""
    through: Callable[[Tensor, Tensor], Tensor]
    """A normalised action to the one that its latent action stands for."""


class RecurrentPlanningModel(PlanningModel):
    """A ``WorldModel``: its state is [h, z] with z at its mean, its memory h.

    Args:
        world: the world model, on normalised actions.
        scale: of the actions.
        latent: its latent actions, if it has some; they are then what is usually searched.
        pays: whether its reward head has learned.
        discount: γ.
        value: values of features, or none.
    """

    order: ClassVar[tuple[Space, ...]] = ("latents", "actions", "controller")

    def __init__(
        self,
        world: WorldModel,
        scale: ActionScale,
        *,
        latent: LatentActions | None = None,
        pays: bool = True,
        discount: float = 1.0,
        value: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._world, self._latent, self._value = world, latent, value
        self.scale, self.pays, self.discount = scale, pays, discount
        self.like = next(world.parameters()).detach()
        self.memory_dim = world.rssm.initial(1, self.like).deter.shape[-1]
        actions = len(scale.low)
        sizes: dict[Space, int] = {"actions": actions}
        if latent is not None:
            sizes |= {"latents": latent.dim, "controller": actions}
        self.spaces = {space: sizes[space] for space in self.order if space in sizes}

    def infer(
        self, observation: Float[Tensor, "N O"], memory: Float[Tensor, "N M"]
    ) -> Float[Tensor, "N S"]:
        """See ``PlanningModel``."""
        rssm, encoder = self._world.rssm, self._world.encoder
        known = rssm.project(encoder(split(encoder, observation)))
        return torch.cat((memory, rssm.posterior(memory, known).mean), -1)

    def remember(
        self, state: Float[Tensor, "N S"], action: Float[Tensor, "N A"]
    ) -> Float[Tensor, "N M"]:
        """See ``PlanningModel``."""
        return self._world.rssm.transition(self._split(state), action)

    def step(
        self, state: Float[Tensor, "B S"], choice: Float[Tensor, "B K"], space: Space
    ) -> Float[Tensor, "B S"]:
        """See ``PlanningModel``."""
        deter = self.remember(state, self.action(state, choice, space))
        return torch.cat((deter, self._world.rssm.prior(deter).mean), -1)

    def action(
        self, state: Float[Tensor, "B S"], choice: Float[Tensor, "B K"], space: Space
    ) -> Float[Tensor, "B A"]:
        """See ``PlanningModel``."""
        if space == "actions" or self._latent is None:
            return choice
        change = self._latent.decode if space == "latents" else self._latent.through
        return change(state, choice)

    def predicted(self, state: Float[Tensor, "B S"]) -> Float[Tensor, "B D"]:
        """See ``PlanningModel``."""
        return self._world.observation_head(state)

    def target(self, observation: Float[Tensor, "N O"]) -> Float[Tensor, "N D"]:
        """See ``PlanningModel``."""
        encoder = self._world.encoder
        return encoder.target(split(encoder, observation))

    def reward(self, state: Float[Tensor, "B S"]) -> Float[Tensor, " B"]:
        """See ``PlanningModel``."""
        return self._world.reward(state)

    def continuation(self, state: Float[Tensor, "B S"]) -> Float[Tensor, " B"]:
        """See ``PlanningModel``."""
        found = self._world.continuation(state)
        return super().continuation(state) if found is None else found

    def value(self, state: Float[Tensor, "B S"]) -> Float[Tensor, " B"]:
        """See ``PlanningModel``."""
        return super().value(state) if self._value is None else self._value(state)

    def _split(self, state: Tensor) -> State:
        return State(*state.tensor_split([self.memory_dim], -1))


class EncodedPlanningModel(PlanningModel):
    """A model on features as one of what is observed.

    Args:
        model: reads features.
        encode: makes them.
    """

    def __init__(self, model: PlanningModel, encode: FeatureEncoders) -> None:
        self._model, self._encode = model, encode
        self.scale, self.like, self.memory_dim = model.scale, model.like, model.memory_dim
        self.spaces, self.pays, self.discount = model.spaces, model.pays, model.discount
        self.context = model.context

    def infer(
        self, observation: Float[Tensor, "N O"], memory: Float[Tensor, "N M"]
    ) -> Float[Tensor, "N S"]:
        """See ``PlanningModel``."""
        return self._model.infer(self._encode(observation), memory)

    def remember(
        self, state: Float[Tensor, "N S"], action: Float[Tensor, "N A"]
    ) -> Float[Tensor, "N M"]:
        """See ``PlanningModel``."""
        return self._model.remember(state, action)

    def step(
        self, state: Float[Tensor, "B S"], choice: Float[Tensor, "B K"], space: Space
    ) -> Float[Tensor, "B S"]:
        """See ``PlanningModel``."""
        return self._model.step(state, choice, space)

    def action(
        self, state: Float[Tensor, "B S"], choice: Float[Tensor, "B K"], space: Space
    ) -> Float[Tensor, "B A"]:
        """See ``PlanningModel``."""
        return self._model.action(state, choice, space)

    def predicted(self, state: Float[Tensor, "B S"]) -> Float[Tensor, "B D"]:
        """See ``PlanningModel``."""
        return self._model.predicted(state)

    def target(self, observation: Float[Tensor, "N O"]) -> Float[Tensor, "N D"]:
        """See ``PlanningModel``."""
        return self._model.target(self._encode(observation))

    def reward(self, state: Float[Tensor, "B S"]) -> Float[Tensor, " B"]:
        """See ``PlanningModel``."""
        return self._model.reward(state)

    def continuation(self, state: Float[Tensor, "B S"]) -> Float[Tensor, " B"]:
        """See ``PlanningModel``."""
        return self._model.continuation(state)

    def value(self, state: Float[Tensor, "B S"]) -> Float[Tensor, " B"]:
        """See ``PlanningModel``."""
        return self._model.value(state)
