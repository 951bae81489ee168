"""(s, a) → z as a flow, from noise to the latent actions that an action may lead to."""

from __future__ import annotations

import torch
from jaxtyping import Float
from lawm_schemas import Count
from torch import Tensor, nn

from lawm_models.networks.data_parallel import number, part
from lawm_models.networks.lam.controller import Controller, ControllerConfig
from lawm_models.networks.lam.forward_dynamics import ForwardDynamics
from lawm_models.networks.lam.transition_model import Error, penalty


class FlowControllerConfig(ControllerConfig):
    """Sizes of the controller, and its flow."""

    flow_steps: Count = 8
    """Euler steps from noise to a latent action."""
    flow_error: Error = "both"
    """What is minimised of a velocity's error."""


class FlowController(Controller):
    """A controller whose (s, a) → z is learned by flow matching (Lipman et al. 2023).

    With x_τ = (1 − τ) ε + τ z, ε ~ N(0, I), the velocity v(x_τ, τ, s, a) is fitted to z − ε, at
    τ = sigmoid(n), n ~ N(0, 1). Without chance a flow begins at the mean of the noise, 0.
    """

    def __init__(
        self, config: FlowControllerConfig, state_dim: int, latent_dim: int, action_dim: int
    ) -> None:
        super().__init__(config, state_dim, latent_dim, action_dim)
        self.latent_dim = latent_dim
        self.flow_steps = config.flow_steps
        self.flow_error: Error = config.flow_error

    def _seeing(
        self, config: ControllerConfig, state_dim: int, latent_dim: int, action_dim: int
    ) -> nn.Module:
        known = latent_dim + state_dim + action_dim
        return ForwardDynamics(known, 1, latent_dim, config.units, config.layers)

    def velocity(
        self,
        x: Float[Tensor, "*b D"],
        time: Float[Tensor, "*b 1"],
        state: Float[Tensor, "*b C E"],
        action: Float[Tensor, "*b A"],
    ) -> Float[Tensor, "*b D"]:
        """v(x_τ, τ, s, a); τ enters by AdaLN-zero."""
        return self.seeing(torch.cat((x, state.flatten(-2), action), -1), time)

    def latent(
        self, action: Float[Tensor, "*b A"], state: Float[Tensor, "*b C E"] | None = None
    ) -> Float[Tensor, "*b D"]:
        """See ``Controller``."""
        if state is None:
            return super().latent(action)
        return self.flow(action.new_zeros(*action.shape[:-1], self.latent_dim), state, action)

    def flow(
        self,
        noise: Float[Tensor, "*b D"],
        state: Float[Tensor, "*b C E"],
        action: Float[Tensor, "*b A"],
    ) -> Float[Tensor, "*b D"]:
        """Where the flow takes a noise."""
        x, share = noise, 1 / self.flow_steps
        for step in range(self.flow_steps):
            time = torch.full_like(action[..., :1], step * share)
            x = x + share * self.velocity(x, time, state, action)
        return x

    def seeing_error(
        self,
        state: Float[Tensor, "N C E"],
        latent: Float[Tensor, "N D"],
        action: Float[Tensor, "N A"],
        generator: torch.Generator | None,
    ) -> Float[Tensor, " N"]:
        """Of the velocity."""
        like = {"generator": generator, "device": latent.device, "dtype": latent.dtype}
        count = number(len(latent))
        time = part(torch.randn(count, 1, **like)).sigmoid()
        noise = part(torch.randn(count, *latent.shape[1:], **like))
        x = torch.lerp(noise, latent, time)
        error = self.velocity(x, time, state, action) - (latent - noise)
        return penalty(error, self.flow_error)
