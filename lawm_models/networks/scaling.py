"""Observations on one scale: their mean and standard deviation over the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from lawm_schemas import ArraySpec, ConfigError
from torch import Tensor, nn

from lawm_data.corpus.corpus import Corpus
from lawm_data.inspection.statistics import moments
from lawm_models.networks.layers import beside

SMALLEST_STD = 1e-3
"""Added to the standard deviation, as TD3+BC does."""


class Normalizer(nn.Module):
    """x = (o − mean) / (std + 0.001), the identity until ``fit``.

    Args:
        dim: O.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def forward(self, observation: Float[Tensor, "*b O"]) -> Float[Tensor, "*b O"]:
        """Normalised observation."""
        return (observation - beside(self.mean, observation)) / beside(self.std, observation)

    def fit(self, states: Iterable[Float[np.ndarray, "M O"]]) -> None:
        """Take over the mean and the (population) standard deviation of all rows."""
        found = moments(states)
        assert found is not None  # a corpus without a step is not trained on
        self.mean.copy_(torch.from_numpy(found.mean))
        self.std.copy_(torch.from_numpy(found.std + SMALLEST_STD))


def all_states(corpora: Sequence[Corpus]) -> Iterator[Float[np.ndarray, "M O"]]:
    """Every observation that an action was taken at, known or not: all but each last one."""
    return (trajectory.observations.state[:-1] for view in corpora for trajectory in view)


def labeled_states(corpora: Sequence[Corpus]) -> Iterator[Float[np.ndarray, "M O"]]:
    """The observations of which it is known what action was taken there."""
    for view in corpora:
        for i in np.flatnonzero(view.table.num_observed > 0):
            trajectory = view[int(i)]
            yield trajectory.observations.state[:-1][trajectory.action_observed]


class ActionScale(nn.Module):
    """Affine map between bounds and [-1, 1]; has no parameters.

    Args:
        low: lower bounds, A numbers.
        high: upper bounds, A numbers.
    """

    center: Tensor
    half_range: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, low: Sequence[float], high: Sequence[float]) -> None:
        super().__init__()
        lower, upper = torch.tensor(low), torch.tensor(high)
        self.register_buffer("low", lower, persistent=False)
        self.register_buffer("high", upper, persistent=False)
        self.register_buffer("center", (lower + upper) / 2, persistent=False)
        half = (upper - lower) / 2
        # an action that cannot change is 0 on the scale of the model
        self.register_buffer("half_range", half.where(half > 0, 1.0), persistent=False)

    @classmethod
    def of(cls, action: ArraySpec) -> Self:
        """The map of an action array.

        Raises:
            ConfigError: it has no bounds.
        """
        if action.low is None or action.high is None:
            raise ConfigError(
                "the action has no bounds", action.name, "take data whose actions have them"
            )
        return cls(action.low, action.high)

    def to_model(self, action: Float[Tensor, "*b A"]) -> Float[Tensor, "*b A"]:
        """Environment units to [-1, 1]."""
        return (action - self.center) / self.half_range

    def to_environment(self, action: Float[Tensor, "*b A"]) -> Float[Tensor, "*b A"]:
        """[-1, 1] to environment units, within the bounds."""
        # clamped in these units: -1 · half_range + center may round to less than low
        return (action * self.half_range + self.center).clamp(self.low, self.high)
