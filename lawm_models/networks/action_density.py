"""Densities of p(a|s,u), by name: what the paper leaves open about the action decoder.

The paper writes log p(a|s,u) and nothing of its form. All three here centre on the tanh of a
network's output, which is an action; they differ in their width.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lawm_models.networks.distributions import Normal, log_prob, log_prob_normal

ActionDensityName = Literal["normal", "learned_normal", "tanh_normal"]
"""A Gaussian of fixed width, one whose width is learned, or the tanh of such a one."""
REACH = 2.0
"""Learned widths stay within a factor of e² of where they start: the likelihood of few labels sets
no bound of its own."""
LARGEST = 0.999
"""Actions beyond are taken for this before the inverse of the tanh, which is infinite at 1."""


class ActionDensity(NamedTuple):
    """p(a | s, u) over normalised actions."""

    raw: Float[Tensor, "*b A"]
    """The network's output before the tanh."""
    std: Float[Tensor, "*b A"] | float
    """Width; of the Gaussian before the tanh if ``squashed``."""
    squashed: bool
    """Whether noise enters before the tanh, so that |a| < 1, or after it."""

    @property
    def mean(self) -> Float[Tensor, "*b A"]:
        """The action without noise, in [-1, 1]: the mean, or the median of a squashed one."""
        return torch.tanh(self.raw)

    @property
    def spread(self) -> Float[Tensor, "*b A"] | float:
        """Standard deviation of the action; to first order for a squashed one."""
        return self.std * (1 - self.mean.square()) if self.squashed else self.std

    def sample(self, noise: Float[Tensor, "*b A"] | None) -> Float[Tensor, "*b A"]:
        """Reparametrised sample for standard normal noise; without noise the mean."""
        if noise is None:
            return self.mean
        moved = self.std * noise
        return torch.tanh(self.raw + moved) if self.squashed else self.mean + moved

    def log_prob(self, action: Float[Tensor, "*b A"]) -> Float[Tensor, "*b"]:
        """Log-density of an action, summed over the last axis, in nats."""
        if not self.squashed:
            return _log_prob(self.mean, self.std, action)
        x = torch.atanh(action.clamp(-LARGEST, LARGEST))
        # log(1 - tanh²(x)), exact and stable for large |x|
        correction = (2 * (math.log(2) - x - F.softplus(-2 * x))).sum(-1)
        return _log_prob(self.raw, self.std, x) - correction


class ActionDensities(NamedTuple):
    """The densities of one name."""

    name: ActionDensityName
    """Which."""
    std: float
    """The fixed width, or where a learned one starts."""

    @property
    def outputs(self) -> int:
        """Outputs of the network per action dimension: the raw action, and perhaps its width."""
        return 1 if self.name == "normal" else 2

    def read(self, params: Float[Tensor, "*b M"]) -> ActionDensity:
        """The density of a network's output of width ``outputs`` · A."""
        if self.name == "normal":
            return ActionDensity(params, self.std, squashed=False)
        raw, width = params.chunk(2, -1)
        std = self.std * (REACH * torch.tanh(width / 2)).exp()
        return ActionDensity(raw, std, squashed=self.name == "tanh_normal")

    def slopes(
        self, params: Float[Tensor, "*b M"], noise: Float[Tensor, "*b A"] | None
    ) -> Float[Tensor, "*b M"]:
        """Derivative of ``read(params).sample(noise)`` by every output, for hand-written scans.

        An action depends on its own outputs alone, so that these are all there are.
        """
        density = self.read(params)
        entry = density.sample(noise) if density.squashed else density.mean
        inner = 1 - entry.square()
        if self.name == "normal":
            return inner
        if noise is None:
            return torch.cat((inner, torch.zeros_like(inner)), -1)
        turn = torch.tanh(params.chunk(2, -1)[1] / 2)
        width = noise * density.std * (REACH / 2) * (1 - turn.square())
        return torch.cat((inner, inner * width if density.squashed else width), -1)


def _log_prob(mean: Tensor, std: Tensor | float, value: Tensor) -> Tensor:
    if isinstance(std, Tensor):
        return log_prob_normal(Normal(mean, std), value)
    return log_prob(mean, std, value)
