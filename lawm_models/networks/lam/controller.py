"""True actions to latent ones and back, learned where actions are known."""

from __future__ import annotations

import torch
from jaxtyping import Float
from lawm_schemas import Count, Schema, Size
from torch import Tensor, nn
from torch.nn import functional as F

from lawm_models.networks.constraints._protocol import SMALLEST, means_of, moments
from lawm_models.networks.data_parallel import total
from lawm_models.networks.distributions import HALF_LOG_TAU, Normal
from lawm_models.networks.layers import MLP

MIN_STD = 1e-3
"""Smallest standard deviation of an action, as a share of half its range."""


class ControllerConfig(Schema):
    """Sizes of the controller."""

    units: Size = 128
    """Hidden units."""
    layers: Count = 2
    """Hidden layers."""


class Controller(nn.Module):
    """a → z, (s, a) → z and (s, z) → a, for states and latent actions of a finished model.

    Actions are normalised to [-1, 1], those of all k steps side by side. A planner or a probe may
    call ``latent`` and ``action``.

    Args:
        config: sizes.
        state_dim: S, of a state as one vector.
        latent_dim: D.
        action_dim: A.
    """

    labels: Tensor

    def __init__(
        self, config: ControllerConfig, state_dim: int, latent_dim: int, action_dim: int
    ) -> None:
        super().__init__()
        sizes = (config.units, config.layers)
        self.blind = MLP(action_dim, latent_dim, *sizes)
        self.seeing = self._seeing(config, state_dim, latent_dim, action_dim)
        self.decoder = MLP(state_dim + latent_dim, action_dim, *sizes)
        self.width = MLP(state_dim + latent_dim, action_dim, *sizes)
        self.register_buffer("labels", torch.zeros(()))

    def _seeing(
        self, config: ControllerConfig, state_dim: int, latent_dim: int, action_dim: int
    ) -> nn.Module:
        """The network of (s, a) → z."""
        return MLP(state_dim + action_dim, latent_dim, config.units, config.layers)

    @property
    def is_trained(self) -> bool:
        """Whether it has ever seen a label."""
        return bool((self.labels > 0).all())

    def latent(
        self, action: Float[Tensor, "*b A"], state: Float[Tensor, "*b C E"] | None = None
    ) -> Float[Tensor, "*b D"]:
        """The latent action that stands for a true one; the same in all states without a state."""
        if state is None:
            return self.blind(action)
        return self.seeing(torch.cat((state.flatten(-2), action), -1))

    def action(self, state: Float[Tensor, "*b C E"], latent: Float[Tensor, "*b D"]) -> Normal:
        """The true action behind a latent one in a state."""
        known = torch.cat((state.flatten(-2), latent), -1)
        return Normal(torch.tanh(self.decoder(known)), F.softplus(self.width(known)) + MIN_STD)

    def losses(
        self,
        state: Float[Tensor, "N C E"],
        latent: Float[Tensor, "N D"],
        action: Float[Tensor, "N A"],
        labeled: Float[Tensor, " N"],
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Squared errors of all three, and the likelihood of the errors of actions.

        Args:
            state: s.
            latent: z, of the finished model.
            action: a; read where it is labeled alone.
            labeled: 1 or 0.
            generator: of the noise, if there is any.

        Returns:
            The loss, and detached errors over the variance of what is to be told, in this batch.
        """
        self.labels.add_(total(labeled.sum())[0])
        decoded = self.action(state, latent)
        error = (decoded.mean - action).square()
        nll = 0.5 * error.detach() / decoded.std.square() + decoded.std.log() + HALF_LOG_TAU
        terms = (
            (self.latent(action) - latent).square().mean(-1),
            self.seeing_error(state, latent, action, generator),
            error.mean(-1),
            nll.mean(-1),
        )
        loss = torch.stack(means_of(terms, labeled))
        metrics = {"loss": loss.sum().detach()}
        truths = {"blind": latent, "seeing": latent, "decoder": action}
        for (name, truth), value in zip(truths.items(), loss.detach(), strict=False):
            variance = moments(truth, labeled)[1].diagonal().mean().clamp(min=SMALLEST)
            metrics[f"{name}_error"] = value / variance
        return loss.sum(), metrics

    def seeing_error(
        self,
        state: Float[Tensor, "N C E"],
        latent: Float[Tensor, "N D"],
        action: Float[Tensor, "N A"],
        generator: torch.Generator | None,
    ) -> Float[Tensor, " N"]:
        """What (s, a) → z minimises."""
        return (self.latent(action, state) - latent).square().mean(-1)
