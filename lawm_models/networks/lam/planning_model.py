"""Transition models as planners read them: in true actions, in latent ones, or through both."""

from __future__ import annotations

import torch
from jaxtyping import Float
from lawm_schemas import ConfigError
from torch import Tensor

from lawm_models.networks.lam.controller import Controller
from lawm_models.networks.lam.latent_transition_model import LatentTransitionModel
from lawm_models.networks.lam.transition_model import TransitionModel
from lawm_models.networks.planning_model import PlanningModel, Space
from lawm_models.networks.policies import split
from lawm_models.networks.scaling import ActionScale

DRAWN = 4096
"""Latent actions whose mean and covariance say what is searched."""
REACH = 2.0
"""Standard deviations of them to a choice of 1."""


class TransitionPlanningModel(PlanningModel):
    """Its state is the last C observations, of which its memory is all but the newest.

    A choice among latent actions counts in standard deviations along the principal axes of those
    that the data have: z = mean + 2 V √λ choice. Where the model has a codebook the nearest code is
    taken.

    Args:
        model: on true actions, or on latent ones: then with a controller.
        scale: of the true actions.
        controller: between true and latent actions.

    Raises:
        ConfigError: a step of the model is several of the environment.
    """

    def __init__(
        self, model: TransitionModel, scale: ActionScale, controller: Controller | None = None
    ) -> None:
        if model.horizon > 1:
            what = f"a step of the model is {model.horizon} of the environment"
            hint = "plan with a run of algorithm.settings.model.horizon 1"
            raise ConfigError(what, "planner", hint)
        self._model, self._controller = model, controller
        self.scale, self.like, self.context = scale, model.change, model.context
        # and whether there was an observation before
        self.memory_dim = (model.context - 1) * model.dim + 1 if model.context > 1 else 0
        actions = len(scale.low)
        self.spaces = {"actions": actions}
        if controller is not None:
            assert isinstance(model, LatentTransitionModel)
            self._latent = model
            self.spaces = {
                "controller": actions,
                "latents": model.action_dim,
                "blind_controller": actions,
            }
            generator = torch.Generator(self.like.device).manual_seed(0)
            with torch.no_grad():
                latents = model.prior_sample(DRAWN, generator).to(self.like)
                variance, axes = torch.linalg.eigh(
                    latents.T.cov(correction=0).view(2 * [model.action_dim])
                )
                self._mean = latents.mean(0)
                self._axes = REACH * axes * variance.clamp(min=0).sqrt()

    def infer(
        self, observation: Float[Tensor, "N O"], memory: Float[Tensor, "N M"]
    ) -> Float[Tensor, "N S"]:
        """See ``PlanningModel``; before the first observation it stands itself."""
        newest = self.target(observation)
        if not self.memory_dim:
            return newest
        before, begun = memory.tensor_split([-1], 1)
        first = newest.repeat(1, self._model.context - 1)
        return torch.cat((torch.where(begun > 0, before, first), newest), 1)

    def remember(
        self, state: Float[Tensor, "N S"], action: Float[Tensor, "N A"]
    ) -> Float[Tensor, "N M"]:
        """See ``PlanningModel``."""
        if not self.memory_dim:
            return state[:, :0]
        return torch.cat((state[:, self._model.dim :], torch.ones_like(state[:, :1])), 1)

    def step(
        self, state: Float[Tensor, "B S"], choice: Float[Tensor, "B K"], space: Space
    ) -> Float[Tensor, "B S"]:
        """See ``PlanningModel``."""
        observations = state.unflatten(1, (self._model.context, -1))
        if space == "latents":
            choice = self._decoded(choice)
        elif self._controller is not None:
            seen = observations if space == "controller" else None
            choice = self._controller.latent(choice, seen)
        return self._model.step(observations, choice).flatten(1)

    def action(
        self, state: Float[Tensor, "B S"], choice: Float[Tensor, "B K"], space: Space
    ) -> Float[Tensor, "B A"]:
        """See ``PlanningModel``."""
        if space != "latents" or self._controller is None:
            return choice
        observations = state.unflatten(1, (self._model.context, -1))
        return self._controller.action(observations, self._decoded(choice)).mean

    def predicted(self, state: Float[Tensor, "B S"]) -> Float[Tensor, "B D"]:
        """See ``PlanningModel``."""
        return state[:, -self._model.dim :]

    def target(self, observation: Float[Tensor, "N O"]) -> Float[Tensor, "N D"]:
        """See ``PlanningModel``."""
        return self._model.encoder(split(self._model.encoder, observation))

    def _decoded(self, choice: Float[Tensor, "B K"]) -> Float[Tensor, "B D"]:
        """The latent action of a choice."""
        latent = torch.addmm(self._mean, choice, self._axes.T)
        constraint = self._latent.constraint
        # of others the inverse model puts out more than a latent action
        return constraint.latent(latent) if constraint.inputs == constraint.dim else latent
