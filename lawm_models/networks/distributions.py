"""Diagonal Gaussians and the bounded policies made from them, as pure functions.

Noise is always an argument: every draw of a training step comes from one generator, in one call.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
LARGEST = 0.999
"""Actions at their bounds, where a tanh-Gaussian has no density, are taken for this."""


class Normal(NamedTuple):
    """A diagonal Gaussian."""

    mean: Float[Tensor, "*b N"]
    """Mean."""
    std: Float[Tensor, "*b N"]
    """Standard deviation, > 0."""

    def sample(self, noise: Float[Tensor, "*b N"]) -> Float[Tensor, "*b N"]:
        """Reparametrised sample for standard normal noise."""
        return torch.addcmul(self.mean, self.std, noise)

    def rows(self, index: Int[Tensor, " R"]) -> Normal:
        """The density in some rows of the first axis."""
        return Normal(self.mean[index], self.std[index])

    def detach(self) -> Normal:
        """The same density without gradients."""
        return Normal(self.mean.detach(), self.std.detach())


def split_normal(params: Float[Tensor, "*b M"], min_std: float) -> Normal:
    """Mean and std = 2 · sigmoid(x / 2) + min_std from one network output of width 2N."""
    mean, raw = params.chunk(2, -1)
    return Normal(mean, 2 * torch.sigmoid(raw / 2) + min_std)


def log_prob(
    mean: Float[Tensor, "*b N"], std: float, value: Float[Tensor, "*b N"]
) -> Float[Tensor, "*b"]:
    """Log-density of a Gaussian with one fixed std, summed over the last axis, in nats."""
    constant = value.shape[-1] * (math.log(std) + HALF_LOG_TAU)
    return -0.5 / std**2 * (value - mean).square().sum(-1) - constant


def log_prob_normal(p: Normal, value: Float[Tensor, "*b N"]) -> Float[Tensor, "*b"]:
    """Log-density of a diagonal Gaussian, summed over the last axis, in nats."""
    z = (value - p.mean) / p.std
    return (-0.5 * z.square() - p.std.log() - HALF_LOG_TAU).sum(-1)


def kl(q: Normal, p: Normal) -> Float[Tensor, "*b"]:
    """KL(q ‖ p), summed over the last axis, in nats."""
    ratio = (q.std / p.std).square()
    distance = ((q.mean - p.mean) / p.std).square()
    return 0.5 * (ratio + distance - 1 - ratio.log()).sum(-1)


class BoundedSample(NamedTuple):
    """A policy's draw in [-1, 1]."""

    value: Float[Tensor, "*b N"]
    """The sample, differentiable."""
    entropy: Float[Tensor, "*b"]
    """Entropy (or its one-sample estimate), in nats."""


class TanhNormal(NamedTuple):
    """tanh of a Gaussian: the policy of the paper's Table 2."""

    base: Normal

    @classmethod
    def from_params(cls, params: Float[Tensor, "*b M"]) -> TanhNormal:
        """Mean and log-std (softly bounded to [-5, 2]) from one network output."""
        mean, raw = params.chunk(2, -1)
        log_std = -1.5 + 3.5 * torch.tanh(raw / 3.5)
        return cls(Normal(mean, log_std.exp()))

    def mode(self) -> Float[Tensor, "*b N"]:
        """Tanh of the mean: the deterministic action."""
        return torch.tanh(self.base.mean)

    def log_prob(self, value: Float[Tensor, "*b N"]) -> Float[Tensor, "*b"]:
        """Log-density of a value in [-1, 1], in nats; at most ±0.999, where it is still finite."""
        value = value.clamp(-LARGEST, LARGEST)
        correction = torch.log1p(-value.square()).sum(-1)  # log(1 - tanh²(x))
        return log_prob_normal(self.base, torch.atanh(value)) - correction

    def draw(self, noise: Float[Tensor, "*b N"]) -> BoundedSample:
        """Sample, with the one-sample entropy −log π (tanh correction included)."""
        raw = self.base.sample(noise)
        # log(1 - tanh²(x)) = 2 (log 2 - x - softplus(-2x)), exact and stable for large |x|
        correction = (2 * (math.log(2) - raw - F.softplus(-2 * raw))).sum(-1)
        return BoundedSample(torch.tanh(raw), -(log_prob_normal(self.base, raw) - correction))


class ClampedNormal(NamedTuple):
    """A Gaussian around tanh(mean), clamped to [-1, 1] with a straight-through gradient.

    Keeps exploring at the bounds, where a tanh has no gradient; the Dreamer collector uses it.
    """

    base: Normal

    @classmethod
    def from_params(cls, params: Float[Tensor, "*b M"]) -> ClampedNormal:
        """Mean in [-1, 1] and std in [0.1, 1] from one network output."""
        mean, raw = params.chunk(2, -1)
        return cls(Normal(torch.tanh(mean), 0.1 + 0.9 * torch.sigmoid(raw)))

    def mode(self) -> Float[Tensor, "*b N"]:
        """The mean: the deterministic action."""
        return self.base.mean

    def draw(self, noise: Float[Tensor, "*b N"]) -> BoundedSample:
        """Sample, with the entropy of the Gaussian before clamping."""
        raw = self.base.sample(noise)
        value = raw + (raw.clamp(-1, 1) - raw).detach()
        return BoundedSample(value, (self.base.std.log() + HALF_LOG_TAU + 0.5).sum(-1))


BOUNDED = {"tanh_normal": TanhNormal, "clamped_normal": ClampedNormal}
"""Policy densities by the name used in configs."""
