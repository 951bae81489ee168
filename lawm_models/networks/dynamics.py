"""Latent dynamics: a state, how it follows from actions, and how it is inferred from observations.

Alignment: a window holds o_0 … o_T and a_0 … a_{T-1}; ``a_t`` is taken at ``o_t``. States are
s_0 … s_T: s_0 is inferred from o_0 alone, s_{t+1} follows from (s_t, a_t) and o_{t+1}. This is the
one place where "action that led here" and "action taken here" meet. Shapes of arguments write T1
for T+1: jaxtyping reads them in order and must meet a name before it is used in a sum.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lawm_models.networks.distributions import Normal


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
    """s_0 … s_T, (*m, B, T+1, ·)."""
    posterior: Normal
    """q(z_t | h_t, o_t), (*m, B, T+1, S)."""


ChooseAction = Callable[[int, State], Tensor]
"""Given t and s_t, the (*m, B, A) action that leads to s_{t+1}."""


class Dynamics(nn.Module, ABC):
    """h' = f(h, z, a), p(z|h) and q(z|h,o), and what follows: filtering a window, imagining.

    Another cell is a child with the abstract methods. Training then takes the plain scan of
    ``networks.scan``, and gradients come from autograd.
    """

    @property
    @abstractmethod
    def stoch_dim(self) -> int:
        """S, width of z and of its noise."""

    @property
    @abstractmethod
    def feature_dim(self) -> int:
        """F = D + S."""

    @abstractmethod
    def initial(self, batch: int, like: Tensor) -> State:
        """The state before the first observation, (B, ·), of the type and device of ``like``."""

    @abstractmethod
    def transition(self, state: State, action: Float[Tensor, "*b A"]) -> Float[Tensor, "*b D"]:
        """The deterministic part of the next state: h' = f(h, z, a)."""

    @abstractmethod
    def prior(self, deter: Float[Tensor, "*b D"]) -> Normal:
        """p(z | h), (*b, S)."""

    @abstractmethod
    def project(self, embed: Float[Tensor, "*b E"]) -> Float[Tensor, "*b N"]:
        """What the posterior makes of an embedding alone, for all steps at once."""

    @abstractmethod
    def posterior(self, deter: Float[Tensor, "*b D"], projected: Float[Tensor, "*b N"]) -> Normal:
        """q(z | h, o), (*b, S); ``projected`` comes from ``project``."""

    def observe(
        self,
        embed: Float[Tensor, "*m B T1 E"],
        choose_action: ChooseAction,
        noise: Float[Tensor, "*m B T1 S"],
    ) -> Observed:
        """Posterior rollout over a window.

        ``choose_action`` is called once per step with s_t, so that the action may be data or may
        be decoded from the state.
        """
        projected = self.project(embed).unbind(-2)
        noises = noise.unbind(-2)
        *rows, _, _ = embed.shape
        deter = self.initial(math.prod(rows), embed).deter.unflatten(0, rows)
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
        stack = [torch.stack(parts, -2) for parts in (deters, stochs, means, stds)]
        return Observed(State(stack[0], stack[1]), Normal(stack[2], stack[3]))

    def imagine(
        self, state: State, action: Float[Tensor, "*b A"], noise: Float[Tensor, "*b S"]
    ) -> State:
        """One step of the prior: s' ~ p(s' | s, a)."""
        deter = self.transition(state, action)
        return State(deter, self.prior(deter).sample(noise))
