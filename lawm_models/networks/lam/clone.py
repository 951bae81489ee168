"""A policy cloned from actions that also foresees the latent action of what comes next."""

from __future__ import annotations

import torch
from jaxtyping import Float
from lawm_schemas import Count, Schema, Size
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lawm_models.networks.constraints._protocol import SMALLEST, means_of, moments
from lawm_models.networks.distributions import HALF_LOG_TAU, Normal
from lawm_models.networks.lam.controller import MIN_STD
from lawm_models.networks.lam.transition_model import TransitionModel, penalty
from lawm_models.networks.layers import MLP, Linear
from lawm_models.networks.policies import StepPolicy, split
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.world_model import standard_noise


class CloneConfig(Schema):
    """Sizes of the clone, and how much it foresees."""

    units: Size = 256
    """Hidden units."""
    layers: Count = 3
    """Hidden layers."""
    foresight: float = Field(default=0.05, ge=0)
    """Weight of the error of the latent action, in units of its standard deviation: the squared one
    and the absolute one. 0 clones actions alone."""


class Clone(nn.Module):
    """s → the k actions that follow, and the latent action of where they lead.

    One network with a linear head for each. Actions are normalised to [-1, 1], those of all k steps
    side by side; the width of their density is a linear map of its own.

    Args:
        config: sizes.
        state_dim: S, of a state as one vector.
        latent_dim: D.
        action_dim: A.
    """

    def __init__(
        self, config: CloneConfig, state_dim: int, latent_dim: int, action_dim: int
    ) -> None:
        super().__init__()
        self.foresight, self._widths = config.foresight, (action_dim, latent_dim)
        self.network = MLP(state_dim, action_dim + latent_dim, config.units, config.layers)
        self.width = Linear(state_dim, action_dim)

    def forward(self, state: Float[Tensor, "*b C E"]) -> tuple[Normal, Float[Tensor, "*b D"]]:
        """The density of the actions, and the latent action."""
        flat = state.flatten(-2)
        action, latent = self.network(flat).split(self._widths, -1)
        return Normal(torch.tanh(action), F.softplus(self.width(flat)) + MIN_STD), latent

    def losses(
        self,
        state: Float[Tensor, "N C E"],
        latent: Float[Tensor, "N D"],
        action: Float[Tensor, "N A"],
        weight: Float[Tensor, " N"],
        labeled: Float[Tensor, " N"],
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Squared error of actions and the likelihood of it, and the error of the latent action.

        Args:
            state: s.
            latent: z, of the finished model.
            action: a; read where it is labeled alone.
            weight: 1 where what follows on s was seen, else 0.
            labeled: 1 where the action is known, too, else 0.

        Returns:
            The loss, and detached squared errors over the variance of what is to be told, in this
            batch.
        """
        density, foreseen = self(state)
        error = (density.mean - action).square()
        nll = 0.5 * error.detach() / density.std.square() + density.std.log() + HALF_LOG_TAU
        cloned, width = means_of((error.mean(-1), nll.mean(-1)), labeled)
        latents, actions = (
            moments(x, w)[1].diagonal().mean().clamp(min=SMALLEST)
            for x, w in ((latent, weight), (action, labeled))
        )
        missed = (foreseen - latent) / latents.sqrt()
        terms = (penalty(missed, "both"), missed.detach().square().mean(-1))
        foresight, squared = means_of(terms, weight)
        loss = cloned + width + self.foresight * foresight
        errors = {"action_error": cloned.detach() / actions, "latent_error": squared}
        return loss, {"loss": loss.detach(), **errors}


class ClonePolicy(StepPolicy):
    """Acts out the first of the k actions, and asks anew at the next step.

    Its memory is whether there was an observation before, and those of the (C − 1) k steps before.

    Args:
        model: says what a state is.
        clone: acts in it.
        scale: of the actions.
        deterministic: act without noise.
    """

    def __init__(
        self, model: TransitionModel, clone: Clone, scale: ActionScale, deterministic: bool
    ) -> None:
        self._model, self._clone, self._scale = model, clone, scale
        self._deterministic = deterministic
        self._before = (model.context - 1) * model.horizon
        memory_dim = 1 + self._before * model.dim if self._before else 0
        super().__init__(memory_dim, clone.width.weight.detach())

    def step(
        self,
        observation: Float[Tensor, "N O"],
        memory: Float[Tensor, "N M"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N M"]]:
        """See ``StepPolicy.step``; before the first observation it stands itself."""
        seen = newest = self._model.encoder(split(self._model.encoder, observation)).unsqueeze(1)
        if self.memory_dim:
            begun, before = memory.tensor_split([1], 1)
            before = before.unflatten(1, (self._before, -1))
            before = torch.where(begun.unsqueeze(-1) > 0, before, newest)
            seen = torch.cat((before, newest), 1)
            memory = torch.cat((torch.ones_like(begun), seen[:, 1:].flatten(1)), 1)
        density, _ = self._clone(seen[:, :: self._model.horizon])
        size = len(self._scale.low)
        mean, std = density.mean[:, :size], density.std[:, :size]
        if not self._deterministic:
            mean = Normal(mean, std).sample(standard_noise(mean, generator, len(mean), size))
        return self._scale.to_environment(mean), memory
