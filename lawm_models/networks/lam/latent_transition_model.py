"""Latent actions of observations alone: an inverse and a forward model, with a constraint between.

h = g(s, o'), z = constrain(h), ô' = o + σ_Δ p(s, z); the loss is the error of ô' in units of σ_Δ,
with what the constraint adds and, where an action is known, w · ‖head(z) − a‖².
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from lawm_schemas import ArraySpec, Size
from pydantic import Field
from torch import Tensor

from lawm_models.networks.constraints import CONSTRAINTS, ConstraintChoice, gaussian
from lawm_models.networks.constraints._protocol import (
    Constraint,
    ConstraintConfig,
    effective_size,
    mean_of,
)
from lawm_models.networks.lam.transition_model import (
    Losses,
    Steps,
    TransitionConfig,
    TransitionModel,
)
from lawm_models.networks.layers import MLP, Linear
from lawm_models.networks.world_model import Generators


class LatentTransitionConfig(TransitionConfig):
    """The same with an inverse model."""

    latent: Size = 16
    """D, width of the latent action."""
    constraint: ConstraintChoice = Field(default_factory=gaussian.Config)
    """What a latent action may say: none, gaussian, sparse, vq or nested, with its settings."""
    inverse: Literal["state", "change"] = "state"
    """What the inverse model sees: the state with the change after it, or the change alone."""
    labels: float = Field(default=0.0, ge=0)
    """Weight of the squared error of a linear map from latent to true actions, where these are
    known. 0 trains on observations alone."""


class LatentTransitionModel(TransitionModel):
    """Infers latent actions and predicts with them.

    A planner may call what ``TransitionModel`` names, and

    - ``inverse(state, after)``: the latent action between a state and the observation after it;
    - ``prior_sample(count, generator)``: latent actions to begin a search with.

    Args:
        config: sizes and constraint.
        observations: what can be observed.
        true_dim: width of a true action, of all k steps.
        algorithm: whose model it is, for messages.
    """

    def __init__(
        self,
        config: LatentTransitionConfig,
        observations: Sequence[ArraySpec],
        true_dim: int,
        algorithm: str,
    ) -> None:
        super().__init__(config, observations, config.latent, algorithm)
        self.labels, self.inverse_sees = config.labels, config.inverse
        self.constraint = self._constraint(config.constraint, config.latent)
        known = self.moved_dim + (self.known_dim if config.inverse == "state" else 0)
        self.inverse_dynamics = MLP(known, self.hidden_dim, config.units, config.layers)
        # without it a change larger than those of the data would be told from no other
        self.direct = Linear(self.moved_dim, self.hidden_dim, bias=False)
        self.head = Linear(config.latent, true_dim) if config.labels else None

    def _constraint(self, chosen: ConstraintConfig, latent: int) -> Constraint:
        """What stands between the inverse and the forward model."""
        return CONSTRAINTS.load(chosen.name).Constraint(chosen, latent)

    @property
    def moved_dim(self) -> int:
        """Width of ``moved``."""
        return self.dim

    @property
    def known_dim(self) -> int:
        """Width of the state as the inverse model sees it."""
        return self.state_dim

    @property
    def hidden_dim(self) -> int:
        """Width of what the inverse model puts out."""
        return self.constraint.inputs

    def moved(
        self, state: Float[Tensor, "*b C E"], after: Float[Tensor, "*b E"]
    ) -> Float[Tensor, "*b M"]:
        """The change as the inverse model sees it."""
        return self.scaled_change(state, after)

    def inverse(
        self, state: Float[Tensor, "*b C E"], after: Float[Tensor, "*b E"]
    ) -> Float[Tensor, "*b D"]:
        """The latent action that led from a state to an observation, without any chance."""
        return self.constraint.latent(self._hidden(state, after))

    def _hidden(
        self, state: Float[Tensor, "*b C E"], after: Float[Tensor, "*b E"]
    ) -> Float[Tensor, "*b H"]:
        return self._read(state.flatten(-2), self.moved(state, after))

    def _read(
        self, state: Float[Tensor, "*b S"], moved: Float[Tensor, "*b M"]
    ) -> Float[Tensor, "*b H"]:
        known = (state, moved) if self.inverse_sees == "state" else (moved,)
        return self.inverse_dynamics(torch.cat(known, -1)) + self.direct(moved)

    def prior_sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "N D"]:
        """Latent actions as the data have them, or as the constraint's density does."""
        return self.constraint.prior_sample(count, generator)

    def latent_losses(self, steps: Steps, generator: Generators | None) -> Losses:
        """As ``losses``, with latent actions inferred from the observations, and their terms."""
        hidden = self._hidden(steps.state, steps.after)
        constrained = self.constraint(hidden, steps.weight, generator)
        found = self.losses(steps.state, steps.after, constrained.latent, steps.weight)
        total = found.prediction + constrained.loss
        metrics = {**found.metrics, "constraint": constrained.loss.detach(), **constrained.metrics}
        with torch.no_grad():
            latent = self.constraint.latent(hidden)
            metrics["effective_size"] = effective_size(latent, steps.weight)
        if self.head is not None:
            each = (self.head(constrained.latent) - steps.action).square().mean(-1)
            error = mean_of(each, steps.labeled)
            metrics["label_error"] = error.detach()
            total = total + self.labels * error
        for name, term in self.terms(steps, constrained.latent).items():
            metrics[name] = term.detach()
            total = total + term
        return found._replace(prediction=total, metrics={"loss": total.detach(), **metrics})

    def terms(
        self, steps: Steps, latent: Float[Tensor, "*m N D"]
    ) -> dict[str, Float[Tensor, "*m"]]:
        """What else is minimised, weighted, by name."""
        return {}
