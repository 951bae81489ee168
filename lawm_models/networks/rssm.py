"""The recurrent state-space model: p(s'|s,a) and q(s'|s,a,o) with Gaussian latents.

Alignment: a window holds o_0 … o_T and a_0 … a_{T-1}; ``a_t`` is taken at ``o_t``. States are
s_0 … s_T: s_0 is inferred from o_0 alone, s_{t+1} follows from (s_t, a_t) and o_{t+1}. This is the
one place where "action that led here" and "action taken here" meet. Shapes of arguments write T1
for T+1: jaxtyping reads them in order and must meet a name before it is used in a sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from lawm_schemas import Schema
from pydantic import Field
from torch import Tensor, nn

from lawm_models.networks.distributions import Normal, split_normal
from lawm_models.networks.layers import NormedGRUCell, NormedLinear, NormedSum


class RSSMConfig(Schema):
    """Sizes of the RSSM; the defaults are the paper's (Table 2)."""

    deter: int = Field(default=512, ge=1)
    """D, deterministic state."""
    stoch: int = Field(default=64, ge=1)
    """S, stochastic state."""
    hidden: int = Field(default=640, ge=1)
    """Hidden units of the transition, prior and posterior."""
    min_std: float = Field(default=0.1, gt=0)
    """Smallest standard deviation of prior and posterior."""


class State(NamedTuple):
    """s = (h, z)."""

    deter: Float[Tensor, "*b D"]
    """h, deterministic."""
    stoch: Float[Tensor, "*b S"]
    """z, stochastic."""

    @property
    def feature(self) -> Float[Tensor, "*b F"]:
        """[h, z], what every head reads."""
        return torch.cat((self.deter, self.stoch), -1)

    def detach(self) -> State:
        """The same state without gradients."""
        return State(self.deter.detach(), self.stoch.detach())


class Observed(NamedTuple):
    """A posterior rollout."""

    state: State
    """s_0 … s_T, (B, T+1, ·)."""
    posterior: Normal
    """q(z_t | h_t, o_t), (B, T+1, S)."""


ChooseAction = Callable[[int, State], Tensor]
"""Given t and s_t, the (B, A) action that leads to s_{t+1}."""


class RSSM(nn.Module):
    """Gaussian RSSM (Hafner 2019a; sizes of the paper's Table 2).

    Args:
        config: sizes.
        action_dim: A.
        embed_dim: E, width of the observation embedding.
    """

    def __init__(self, config: RSSMConfig, action_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        self.input = NormedLinear(config.stoch + action_dim, config.hidden)
        self.cell = NormedGRUCell(config.hidden, config.deter)
        self.prior_net = nn.Sequential(
            NormedLinear(config.deter, config.hidden), nn.Linear(config.hidden, 2 * config.stoch)
        )
        self.posterior_in = NormedSum(config.deter, embed_dim, config.hidden)
        self.posterior_out = nn.Linear(config.hidden, 2 * config.stoch)

    @property
    def feature_dim(self) -> int:
        """F = D + S."""
        return self.config.deter + self.config.stoch

    def initial(self, batch: int, like: Tensor) -> State:
        """The zero state before the first observation, (B, ·)."""
        config = self.config
        return State(like.new_zeros(batch, config.deter), like.new_zeros(batch, config.stoch))

    def transition(self, state: State, action: Float[Tensor, "*b A"]) -> Float[Tensor, "*b D"]:
        """The deterministic part of the next state: h' = f(h, z, a)."""
        return self.cell(self.input(torch.cat((state.stoch, action), -1)), state.deter)

    def prior(self, deter: Float[Tensor, "*b D"]) -> Normal:
        """p(z | h), (*b, S)."""
        return split_normal(self.prior_net(deter), self.config.min_std)

    def posterior(self, deter: Float[Tensor, "*b D"], projected: Float[Tensor, "*b N"]) -> Normal:
        """q(z | h, o), (*b, S); ``projected`` comes from ``project``."""
        hidden = self.posterior_in(deter, projected)
        return split_normal(self.posterior_out(hidden), self.config.min_std)

    def project(self, embed: Float[Tensor, "*b E"]) -> Float[Tensor, "*b N"]:
        """The embedding's share of the posterior, for all steps in one product."""
        return self.posterior_in.project(embed)

    def observe(
        self,
        embed: Float[Tensor, "B T1 E"],
        choose_action: ChooseAction,
        noise: Float[Tensor, "B T1 S"],
    ) -> Observed:
        """Posterior rollout over a window.

        ``choose_action`` is called once per step with s_t, so that the action may be data or may
        be decoded from the state. This is the definition; training runs ``posterior_scan``, which
        gives the same values and gradients in two thirds of the time.
        """
        projected = self.project(embed).unbind(1)
        noises = noise.unbind(1)
        deter = self.initial(len(embed), embed).deter
        deters, stochs, means, stds = [], [], [], []
        for t, (known, eps) in enumerate(zip(projected, noises, strict=True)):
            posterior = self.posterior(deter, known)
            state = State(deter, posterior.sample(eps))
            deters.append(state.deter)
            stochs.append(state.stoch)
            means.append(posterior.mean)
            stds.append(posterior.std)
            if t + 1 < len(projected):
                deter = self.transition(state, choose_action(t, state))
        stack = [torch.stack(parts, 1) for parts in (deters, stochs, means, stds)]
        return Observed(State(stack[0], stack[1]), Normal(stack[2], stack[3]))

    def imagine(
        self, state: State, action: Float[Tensor, "*b A"], noise: Float[Tensor, "*b S"]
    ) -> State:
        """One step of the prior: s' ~ p(s' | s, a)."""
        deter = self.transition(state, action)
        return State(deter, self.prior(deter).sample(noise))
