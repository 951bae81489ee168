"""Observations and rewards on one scale: that of the data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from lawm_schemas import ArraySpec, ConfigError
from torch import Tensor, nn

from lawm_data.corpus.agreement import command, records_actions
from lawm_data.corpus.corpus import Corpus
from lawm_data.inspection.statistics import Moments, action_blocks, moments
from lawm_models.networks.layers import beside

SMALLEST_STD = 1e-3
"""Added to the standard deviation, as TD3+BC does."""
ROUNDING = 1e-6
"""Share of its largest magnitude by which a number that is stored as float32 varies for sure."""


class Normalizer(nn.Module):
    """x = (o − mean) / (std + added), the identity until ``fit``.

    Args:
        dim: O.
        added: to the standard deviation. With 0, x does not depend on the units of o; what does not
            vary is then divided by its magnitude.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, added: float = SMALLEST_STD) -> None:
        super().__init__()
        self.added = added
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
        std = found.std + self.added if self.added else _varying(found)
        self.std.copy_(torch.from_numpy(std))


def _varying(found: Moments) -> Float[np.ndarray, " O"]:
    """The standard deviation, or of what does not vary its magnitude, or 1 of what is always 0."""
    size = np.maximum(np.abs(found.low), np.abs(found.high))
    return np.where(found.std > ROUNDING * size, found.std, np.where(size > 0, size, 1.0))


def root_mean_square(corpora: Sequence[Corpus], labeled: bool = False) -> float:
    """Of all recorded rewards, or of those of labeled trajectories; 1 where all are 0.

    Args:
        corpora: the views.
        labeled: leave out trajectories without a readable action.
    """
    squares, steps = 0.0, 0
    for view in corpora:
        read = view.table.rewarded & (view.table.readable if labeled else True)
        for i in np.flatnonzero(read).tolist():
            rewards = np.asarray(view[i].rewards, np.float64)
            squares, steps = squares + float(np.square(rewards).sum()), steps + len(rewards)
    return math.sqrt(squares / steps) if squares else 1.0


def all_states(corpora: Sequence[Corpus]) -> Iterator[Float[np.ndarray, "M O"]]:
    """Every observation that an action was taken at, known or not: all but each last one."""
    return (trajectory.observations.state[:-1] for view in corpora for trajectory in view)


def labeled_states(corpora: Sequence[Corpus]) -> Iterator[Float[np.ndarray, "M O"]]:
    """The observations of which it is known what action was taken there."""
    for view in corpora:
        table = view.table
        for i in np.flatnonzero(table.readable):
            trajectory = view[int(i)]
            known = trajectory.action_observed | table.complete[i]
            yield trajectory.observations.state[:-1][known]


class ActionScale(nn.Module):
    """Affine map between bounds and [-1, 1]; has no parameters.

    Args:
        low: lower bounds, A numbers.
        high: upper bounds, A numbers.
        whole: in the environment actions are whole numbers.
    """

    center: Tensor
    half_range: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, low: Sequence[float], high: Sequence[float], whole: bool = False) -> None:
        super().__init__()
        self.whole = whole
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
        return cls(action.low, action.high, whole=np.dtype(action.dtype).kind != "f")

    def to_model(self, action: Float[Tensor, "*b A"]) -> Float[Tensor, "*b A"]:
        """Environment units to [-1, 1]."""
        return (action - self.center) / self.half_range

    def to_environment(self, action: Float[Tensor, "*b A"]) -> Float[Tensor, "*b A"]:
        """[-1, 1] to environment units, within the bounds."""
        # clamped in these units: -1 · half_range + center may round to less than low
        return (action * self.half_range + self.center).clamp(self.low, self.high)

    def taken(self, action: Float[Tensor, "*b A"]) -> Float[Tensor, "*b A"]:
        """What the environment takes a normalised action for: the nearest that there is."""
        if self.whole:
            return self.to_model(self.to_environment(action).round())
        return action.clamp(-1, 1)


def require_bounds(action: ArraySpec, corpora: Sequence[Corpus]) -> None:
    """Refuse corpora whose action has no bounds where it is to be scaled by them.

    Args:
        action: that of all of them together.
        corpora: the views.

    Raises:
        ConfigError: says between which numbers the actions lie that are shown, and the edit that
            declares bounds.
    """
    if action.low is not None and action.high is not None:
        return
    view = next((view for view in corpora if records_actions(view)), corpora[0])
    ends = [(block.min(), block.max()) for block in action_blocks(view) if block.size]
    shown = ""
    if ends:
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        shown = f" (those that are shown lie between {low:.3g} and {high:.3g})"
    edit = command(view.path, [f"--bounds {view.manifest.action.name}=LOW:HIGH"])
    what = "the action has no bounds, which it is scaled by"
    raise ConfigError(what, str(view.path), f"declare them{shown}: {edit}")
