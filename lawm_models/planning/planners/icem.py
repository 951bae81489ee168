"""iCEM: CEM with coloured noise, elites that are kept, fewer samples in time (Pinneri 2020)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from lawm_schemas import Size
from pydantic import Field
from torch import Tensor

from lawm_models.planning.planners._protocol import Cost, Found, PlannerConfig
from lawm_models.planning.planners._sampling import best, colored, drawn, require_fewer


class Config(PlannerConfig):
    """Settings of iCEM; the defaults are the paper's (arXiv 2008.06389) where it names one."""

    elites: Size = 10
    """Best sequences, whose mean and standard deviation the next ones are drawn with."""
    noise_beta: float = Field(default=2.0, ge=0)
    """β of the noise over time, of power 1/f^β: 0 is white, more moves further in one direction."""
    keep: float = Field(default=0.3, ge=0, le=1)
    """Share of the elites that is tried again, in the next iteration and in the next step."""
    shrink: float = Field(default=1.25, ge=1)
    """Every iteration tries this many times fewer sequences, but never fewer than two an elite."""
    momentum: float = Field(default=0.1, ge=0, lt=1)
    """Share of mean and standard deviation that stays in an iteration."""


class Planner:
    """CEM with coloured noise; acts by the best sequence that it has met.

    Args:
        config: settings.
    """

    def __init__(self, config: Config) -> None:
        require_fewer(config.elites, config.samples)
        self.config = config
        self._again = math.ceil(config.keep * config.elites)
        self.kept = 1 + self._again
        least = min(2 * config.elites, config.samples)
        self._sizes = [
            max(least, round(config.samples / config.shrink**i)) for i in range(config.iterations)
        ]
        """Sequences of each iteration."""

    def search(
        self, cost: Cost, begin: Float[Tensor, "N W H K"], generator: torch.Generator
    ) -> Found:
        """See ``_protocol.Planner``; the elites of before follow the first guess in ``begin``."""
        config, color = self.config, colored(self.config.noise_beta, begin.shape[2], begin)
        mean, elites = begin[:, :1], begin
        std = torch.full_like(mean, config.std)
        for number, samples in enumerate(self._sizes):
            again = elites[:, : self.kept] if number == 0 else elites[:, : self._again]
            parts = [drawn(mean, std, samples, generator, color), again]
            if number == len(self._sizes) - 1:
                parts.append(mean)
            tried = torch.cat(parts, 1)
            elites = best(tried, cost(tried), config.elites)
            fitted = elites.mean(1, keepdim=True)
            spread = elites.std(1, correction=0, keepdim=True)
            mean, std = fitted.lerp(mean, config.momentum), spread.lerp(std, config.momentum)
        return Found(elites[:, 0], torch.cat((mean, elites[:, : self._again]), 1))
