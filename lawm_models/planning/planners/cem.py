"""CEM: the cross-entropy method (Rubinstein 1997): samples move to the best of those before."""

from __future__ import annotations

import torch
from jaxtyping import Float
from lawm_schemas import Size
from torch import Tensor

from lawm_models.planning.planners._protocol import Cost, Found, PlannerConfig
from lawm_models.planning.planners._sampling import best, drawn, require_fewer


class Config(PlannerConfig):
    """Settings of CEM."""

    elites: Size = 13
    """Best sequences, whose mean and standard deviation the next ones are drawn with."""


class Planner:
    """Gaussian in every step and dimension; acts by its last mean.

    Args:
        config: settings.
    """

    kept = 1

    def __init__(self, config: Config) -> None:
        require_fewer(config.elites, config.samples)
        self.config = config

    def search(
        self, cost: Cost, begin: Float[Tensor, "N 1 H K"], generator: torch.Generator
    ) -> Found:
        """See ``_protocol.Planner``."""
        mean = begin
        std = torch.full_like(begin, self.config.std)
        for _ in range(self.config.iterations):
            tried = drawn(mean, std, self.config.samples, generator)
            elites = best(tried, cost(tried), self.config.elites)
            mean = elites.mean(1, keepdim=True)
            std = elites.std(1, correction=0, keepdim=True)
        return Found(mean[:, 0], mean)
