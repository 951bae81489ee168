"""Single transitions out of windows, for algorithms without memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from lawm_data.batches.batch import Batch
from lawm_models.networks.data_parallel import total
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
    next_action: Float[Tensor, "N A"]
    """a_{t+1} in [-1, 1]; zero where not observed, or where the window has none."""
    next_observed: Bool[Tensor, " N"]
    """Whether a_{t+1} is observed."""
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
    batch: Batch, generator: torch.Generator | None, after: int = 0
) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"]]:
    """A step of every window that has steps before it and ``after`` it, and its weight.

    Before it are T−1−``after`` steps, or all that there are, and after it ``after`` steps, or the
    end of a trajectory that was terminated. One step of a window has both. The first steps of a
    trajectory and those before its end never are that step; they come from the windows that begin
    and end there: one of their n such steps at random, with weight n. So every step of every
    trajectory counts the same, but those that are followed by less without an end, and one that
    leads to no recorded observation and to no end either, which have no weight.

    Args:
        batch: windows of T steps.
        generator: of the choice.
        after: steps, fewer than T.

    Returns:
        Place of the step in its window, and its weight.
    """
    steps = (batch.valid | batch.unseen).sum(1)
    uniform = torch.rand(steps.shape, generator=generator, device=steps.device)
    rows = torch.arange(len(steps), device=steps.device)
    first = torch.where(batch.start == 0, 0, steps - 1 - after)
    stop = torch.where(batch.terminated[rows, steps - 1], steps, steps - after)
    count = (stop - first).clamp(min=0)
    place = first + (uniform * count).long()
    return place, (count * _learnable(batch)[rows, place]).to(batch.reward.dtype)


def _learnable(batch: Batch) -> Bool[Tensor, "B T"]:
    """Steps whose next observation is known, or does not matter, since the step is an end."""
    return batch.valid | (batch.unseen & batch.terminated)


def weighted(value: Float[Tensor, " N"], weight: Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """Mean of a value per step; zero when nothing has weight."""
    weighted, weights = total((value * weight).sum(), weight.sum())
    return weighted / weights.clamp(min=1)


def _transitions(
    batch: Batch,
    embed: Float[Tensor, "B T1 E"],
    scale: ActionScale,
    pick: Callable[[Tensor], Tensor],
    weight: Float[Tensor, " N"],
) -> Transitions:
    # whatever stands where nothing was observed, NaN included, goes no further
    seen = batch.action_mask
    actions = torch.where(seen.unsqueeze(-1), scale.to_model(batch.action), 0.0)
    return Transitions(
        observation=pick(embed[:, :-1]),
        action=pick(actions),
        observed=pick(seen),
        reward=pick(batch.reward),
        rewarded=pick(batch.rewarded.unsqueeze(1).expand_as(batch.valid)),
        next_observation=pick(embed[:, 1:]),
        next_action=pick(F.pad(actions[:, 1:], (0, 0, 0, 1))),
        next_observed=pick(F.pad(seen[:, 1:], (0, 1))),
        terminated=pick(batch.terminated).to(batch.reward.dtype),
        weight=weight,
    )
