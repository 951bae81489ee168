"""A batch of windows as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt
from torch import Tensor

from lawm_data.system.notebook import grid


@dataclass(frozen=True, repr=False)
class Batch:
    """Windows of T steps: T+1 observations, T actions and rewards.

    Where ``action_mask`` is False, ``action`` is zero and means nothing.
    Where ``valid`` is False the step is padding: observations repeat the last one, the rest is 0.
    Or it is ``unseen``: action, reward and end are real, and only the observation after it was not
    recorded, in whose place the one before it stands.
    """

    observation: Float[Tensor, "B T+1 O"]
    """Concatenated state fields."""
    action: Float[Tensor, "B T A"]
    """Actions in the environment's units; zero where ``action_mask`` is not set."""
    action_mask: Bool[Tensor, "B T"]
    """Where the action is observed, or inferred and taken for it (``Loader(…, inferred=True)``):
    not where it is ``unseen`` what it led to, of which nothing can be inferred."""
    reward: Float[Tensor, "B T"]
    """Reward of the step from ``observation[:, t]`` to ``observation[:, t + 1]``."""
    rewarded: Bool[Tensor, " B"]
    """The trajectory's rewards were recorded; elsewhere ``reward`` is zero and means nothing."""
    terminated: Bool[Tensor, "B T"]
    """The step ended in a terminal state."""
    valid: Bool[Tensor, "B T"]
    """Steps from one recorded observation to the next; False is padding of a short trajectory, or
    ``unseen``."""
    unseen: Bool[Tensor, "B T"]
    """The last step of a trajectory whose final observation was not recorded."""
    labeled: Bool[Tensor, " B"]
    """Eq. 10's m: every action of the trajectory (or of the window) is observed."""
    trajectory: Int[Tensor, " B"]
    """Index of the trajectory in its corpus, see ``corpus``."""
    start: Int[Tensor, " B"]
    """First step of the window in its trajectory."""
    corpus: Int[Tensor, " B"] = None  # pyright: ignore[reportAssignmentType] (never read as None)
    """Which of several corpora that is, counted from 0; the first by default."""
    pixels: dict[str, UInt[Tensor, "B T+1 h w c"]] = field(default_factory=dict)
    """Camera fields by name."""

    def __post_init__(self) -> None:
        if self.corpus is None:
            object.__setattr__(self, "corpus", torch.zeros_like(self.trajectory))

    def __repr__(self) -> str:
        arrays = ", ".join(f"{name} {_kind(t)}{list(t.shape)}" for name, t in self._tensors())
        return f"Batch({self._summary()}: {arrays})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rows = [[name, _kind(t), str(tuple(t.shape))] for name, t in self._tensors()]
        return f"<div><b>Batch</b> of {self._summary()}" + grid(("tensor", "type", "shape"), rows)

    def _summary(self) -> str:
        count, steps = self.valid.shape
        labeled = int(self.labeled.sum())
        return f"{count} windows of {steps} steps, {labeled} labeled, on {self.valid.device}"

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from ((f.name, getattr(self, f.name)) for f in fields(self) if f.name != "pixels")
        yield from self.pixels.items()

    def as_dict(self) -> dict[str, Any]:
        """The fields by name; ``Batch(**batch.as_dict())`` is the batch again."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def rows(self, index: Int[Tensor, " R"]) -> Batch:
        """Some windows of the batch."""
        chosen = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "pixels"}
        return Batch(**chosen, pixels={k: v[index] for k, v in self.pixels.items()})

    def to(self, device: torch.device | str, non_blocking: bool = True) -> Batch:
        """Copy every tensor to a device."""
        moved = {
            f.name: getattr(self, f.name).to(device, non_blocking=non_blocking)
            for f in fields(self)
            if f.name != "pixels"
        }
        pixels = {k: v.to(device, non_blocking=non_blocking) for k, v in self.pixels.items()}
        return Batch(**moved, pixels=pixels)


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
