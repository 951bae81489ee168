"""The four latent-action densities: p(u|s), q(u|s,a), q(u|s,o') and p(a|s,u)."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from lawm_schemas import Count, Schema, Size
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lawm_models.networks.data_parallel import whole
from lawm_models.networks.distributions import Normal, log_prob, log_prob_normal, split_normal
from lawm_models.networks.layers import MLP, Linear, NormedLinear, NormedSum

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


class LatentActionConfig(Schema):
    """Sizes of the latent-action densities; the defaults are the paper's (Table 2)."""

    dim: Size = 12
    """U, latent action."""
    prior: Literal["standard_normal", "learned"] = "standard_normal"
    """p(u|s): N(0, I) for LAWM, a network for C-LAP."""
    units: Size = 512
    """Hidden units of every density."""
    layers: Count = 2
    """Hidden layers of prior, posterior and decoder."""
    inverse_layers: Count = 3
    """Hidden layers of the inverse posterior q(u|s,o')."""
    min_std: float = Field(default=0.1, gt=0)
    """Smallest standard deviation of prior and posteriors."""


class LearnedPriorConfig(LatentActionConfig):
    """The same where the prior is learned unless something else is asked for."""

    prior: Literal["standard_normal", "learned"] = "learned"
    """p(u|s): a network, or N(0, I) to see what that alone changes."""


class ActionPosterior(nn.Module):
    """q(u | s, a), Eq. 3: the latent action behind a known action."""

    def __init__(self, config: LatentActionConfig, feature_dim: int, action_dim: int) -> None:
        super().__init__()
        self.min_std = config.min_std
        self.net = MLP(feature_dim + action_dim, 2 * config.dim, config.units, config.layers)

    def forward(self, feature: Float[Tensor, "*b F"], action: Float[Tensor, "*b A"]) -> Normal:
        """Density over u, (*b, U)."""
        return split_normal(self.net(torch.cat((feature, action), -1)), self.min_std)


class InversePosterior(nn.Module):
    """q(u | s, o'), Eq. 6: the latent action behind a change of observation (inverse dynamics)."""

    def __init__(self, config: LatentActionConfig, feature_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.min_std = config.min_std
        self.first = NormedSum(feature_dim, embed_dim, config.units)
        self.rest = nn.Sequential(
            *(NormedLinear(config.units, config.units) for _ in range(config.inverse_layers - 1)),
            Linear(config.units, 2 * config.dim),
        )

    def project(self, next_embed: Float[Tensor, "*b E"]) -> Float[Tensor, "*b N"]:
        """The next observation's share of the first layer, for all steps in one product."""
        return self.first.project(next_embed)

    def forward(
        self, feature: Float[Tensor, "*b F"], projected: Float[Tensor, "*b N"], dropout: float = 0.0
    ) -> Normal:
        """Density over u, (*b, U); ``projected`` comes from ``project``.

        ``dropout`` is the share of hidden units that are silent, drawn from torch's global
        generator; the others speak up in turn.
        """
        hidden = self.first(feature, projected)
        for layer in self.rest:
            hidden = layer(F.dropout(hidden, dropout) if dropout else hidden)
        return split_normal(hidden, self.min_std)


class ActionDecoder(nn.Module):
    """p(a|s,u) over normalised actions; generative and inference model share it (App. B).

    Args:
        config: sizes.
        feature_dim: F.
        action_dim: A.
        density: form of the density.
        std: its width, or where a learned one starts.
    """

    def __init__(
        self,
        config: LatentActionConfig,
        feature_dim: int,
        action_dim: int,
        density: ActionDensityName = "normal",
        std: float = 0.2,
    ) -> None:
        super().__init__()
        self.action_dim = action_dim
        self.densities = ActionDensities(density, std)
        width = self.densities.outputs * action_dim
        self.net = MLP(feature_dim + config.dim, width, config.units, config.layers)

    def forward(
        self,
        feature: Float[Tensor, "*b F"],
        latent_action: Float[Tensor, "*b U"],
        noise: Float[Tensor, "*b A"] | None = None,
    ) -> Float[Tensor, "*b A"]:
        """Normalised action: a sample for standard normal noise, without noise the mean."""
        return self.density(feature, latent_action).sample(noise)

    def density(
        self, feature: Float[Tensor, "*b F"], latent_action: Float[Tensor, "*b U"]
    ) -> ActionDensity:
        """p(a | s, u)."""
        return self.densities.read(self.net(torch.cat((feature, latent_action), -1)))


class LatentActionPrior(nn.Module):
    """p(u | s): a standard normal (LAWM) or a network (C-LAP)."""

    def __init__(self, config: LatentActionConfig, feature_dim: int) -> None:
        super().__init__()
        self.dim = config.dim
        self.min_std = config.min_std
        self.net = None
        if config.prior == "learned":
            self.net = MLP(feature_dim, 2 * config.dim, config.units, config.layers)

    def forward(self, feature: Float[Tensor, "*b F"]) -> Normal:
        """Density over u, (*b, U)."""
        if self.net is not None:
            return split_normal(self.net(feature), self.min_std)
        zeros = feature.new_zeros(*feature.shape[:-1], self.dim)
        return Normal(zeros, torch.ones_like(zeros))


RATE = 0.02
"""Share of a new batch in the running variances."""


class ActionSnr(nn.Module):
    """Running signal-to-noise ratio Var_s(E[a|s]) / E_s[Var(a|s)] of actions, over all dimensions.

    High where policies made the data, as a state then tells the action; about 1 or less in data of
    exploration, whose actions are mostly chance. Without bound: where actions are no chance at all,
    nothing is known of others. A batch of N states underestimates the numerator by 1/N of it.
    """

    variances: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Both begin at zero and have the same share of it, which the ratio does not see.
        self.register_buffer("variances", torch.zeros(2))

    @torch.no_grad()
    def update(
        self, one: Float[Tensor, "*m N A"], other: Float[Tensor, "*m N A"]
    ) -> Float[Tensor, "*m"]:
        """The ratio, after two independent draws of the action in each of N ≥ 2 states."""
        one, other = whole(one), whole(other)
        moved = (one - one.mean(-2, keepdim=True)) * (other - other.mean(-2, keepdim=True))
        between = moved.mean(-2).sum(-1)
        within = 0.5 * (one - other).square().mean(-2).sum(-1)
        self.variances.lerp_(torch.stack((between, within), -1), RATE)
        signal, noise = self.variances.unbind(-1)
        return signal.clamp(min=0) / noise.clamp(min=1e-8)
