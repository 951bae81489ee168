"""Single transitions out of windows, for algorithms without memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lawm_data.batches.batch import Batch
from lawm_models.networks.scaling import ActionScale


class Transitions(NamedTuple):
    """N steps (o, a, r, o') with encoded observations, and how much each counts."""

    observation: Float[Tensor, "N E"]
    """o_t."""
    action: Float[Tensor, "N A"]
    """a_t in [-1, 1]; zero where not observed."""
    observed: Bool[Tensor, " N"]
    """Whether a_t is observed."""
    reward: Float[Tensor, " N"]
    """r_t."""
    rewarded: Bool[Tensor, " N"]
    """Whether r_t was recorded."""
    next_observation: Float[Tensor, "N E"]
    """o_{t+1}."""
    terminated: Float[Tensor, " N"]
    """1 where nothing comes after o_{t+1}; a time limit is no such end."""
    weight: Float[Tensor, " N"]
    """0 leaves a step out."""


def every_step(batch: Batch, embed: Float[Tensor, "B T1 E"], scale: ActionScale) -> Transitions:
    """All steps of a batch, N = B · T; what cannot be learned from has no weight.

    That is padding, and a last step that leads to no recorded observation and to no end either.

    Args:
        batch: windows.
        embed: its observations.
        scale: of actions.
    """
    weight = _learnable(batch).flatten().to(batch.reward.dtype)
    return _transitions(batch, embed, scale, lambda x: x.flatten(0, 1), weight)


def one_step(
    batch: Batch,
    embed: Float[Tensor, "B T1 E"],
    scale: ActionScale,
    place: Int[Tensor, " B"],
    weight: Float[Tensor, " B"],
) -> Transitions:
    """One step of every window, N = B, with its weight. ``embed``: its observations."""
    rows = torch.arange(len(place), device=place.device)
    return _transitions(batch, embed, scale, lambda x: x[rows, place], weight)


def choose_step(
    batch: Batch, generator: torch.Generator | None
) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"]]:
    """A step of every window that has T−1 steps before it, or all that there are, and its weight.

    The last step of a window has them. The first T−1 steps of a trajectory are never last; they
    come from the window that begins there: one of its n steps at random, with weight n. So every
    step of every trajectory counts the same, but one that leads to no recorded observation and to
    no end either, which has no weight.

    Returns:
        Place of the step in its window, and its weight.
    """
    steps = (batch.valid | batch.unseen).sum(1)
    uniform = torch.rand(steps.shape, generator=generator, device=steps.device)
    begins = batch.start == 0
    place = torch.where(begins, (uniform * steps).long(), steps - 1)
    learnable = _learnable(batch)[torch.arange(len(place), device=place.device), place]
    return place, (torch.where(begins, steps, 1) * learnable).to(batch.reward.dtype)


def _learnable(batch: Batch) -> Bool[Tensor, "B T"]:
    """Steps whose next observation is known, or does not matter, since the step is an end."""
    return batch.valid | (batch.unseen & batch.terminated)


def weighted(value: Float[Tensor, " N"], weight: Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """Mean of a value per step; zero when nothing has weight."""
    return (value * weight).sum() / weight.sum().clamp(min=1)


def _transitions(
    batch: Batch,
    embed: Float[Tensor, "B T1 E"],
    scale: ActionScale,
    pick: Callable[[Tensor], Tensor],
    weight: Float[Tensor, " N"],
) -> Transitions:
    observed = pick(batch.action_mask)
    # whatever stands where nothing was observed, NaN included, goes no further
    action = torch.where(observed.unsqueeze(-1), scale.to_model(pick(batch.action)), 0.0)
    return Transitions(
        observation=pick(embed[:, :-1]),
        action=action,
        observed=observed,
        reward=pick(batch.reward),
        rewarded=pick(batch.rewarded.unsqueeze(1).expand_as(batch.valid)),
        next_observation=pick(embed[:, 1:]),
        terminated=pick(batch.terminated).to(batch.reward.dtype),
        weight=weight,
    )
