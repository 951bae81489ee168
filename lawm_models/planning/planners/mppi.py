"""MPPI: the mean of all samples, weighed by exp(−cost) (path integral; Williams 2017)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lawm_models.planning.planners._protocol import Cost, Found, PlannerConfig
from lawm_models.planning.planners._sampling import drawn


class Config(PlannerConfig):
    """Settings of MPPI."""

    std: float = Field(default=0.5, gt=0)
    """Standard deviation of the samples about the mean, in every iteration; choices are within
    [-1, 1]."""
    temperature: float = Field(default=0.2, gt=0)
    """λ in units of the costs' standard deviation over the samples, so that it means the same
    whatever rewards are worth."""


class Planner:
    """Samples about a mean, of which the mean weighed by exp(−cost / λ) is the next one.

    Args:
        config: settings.
    """

    kept = 1

    def __init__(self, config: Config) -> None:
        self.config = config

    def search(
        self, cost: Cost, begin: Float[Tensor, "N 1 H K"], generator: torch.Generator
    ) -> Found:
        """See ``_protocol.Planner``."""
        mean, std = begin, torch.full_like(begin, self.config.std)
        for _ in range(self.config.iterations):
            tried = drawn(mean, std, self.config.samples, generator)
            mean = weighed(tried, cost(tried), self.config.temperature)
        return Found(mean[:, 0], mean)


def weighed(
    tried: Float[Tensor, "N P H K"], cost: Float[Tensor, "N P"], temperature: float
) -> Float[Tensor, "N 1 H K"]:
    """Σ w x with w ∝ exp(−cost / (temperature · std(cost))).

    A cost that is not finite has no weight, unless none is.
    """
    finite = cost.isfinite()
    known = cost.where(finite, torch.nan)
    center = known.nanmean(1, keepdim=True)
    spread = (known - center).square().nanmean(1, keepdim=True).sqrt()
    scaled = (known - center) / (temperature * spread).clamp(min=torch.finfo(cost.dtype).tiny)
    weight = (-scaled).where(finite.logical_or(~finite.any(1, keepdim=True)), -torch.inf)
    weight = weight.nan_to_num(0.0, neginf=-torch.inf).softmax(1)
    return (weight[:, :, None, None] * tried).sum(1, keepdim=True)
