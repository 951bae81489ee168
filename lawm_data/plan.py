"""What a batch will hold, worked out before its large arrays are read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from lawm_data.gather import WindowReader
from lawm_data.mixture import Mixture
from lawm_data.sampler import Sampler, SamplingSettings


class Plan(NamedTuple):
    """The windows of one batch: where their rows are, and what of them is real and observed."""

    trajectory: Int[np.ndarray, " B"]
    """Row of the mixture's table."""
    begin: Int[np.ndarray, " B"]
    """First step."""
    remaining: Int[np.ndarray, " B"]
    """Steps from there to the end of the trajectory."""
    shard: Int[np.ndarray, " B"]
    row: Int[np.ndarray, " B"]
    """Row of the first observation."""
    action_row: Int[np.ndarray, " B"]
    """Row of the first action."""
    readable: Bool[np.ndarray, " B"]
    """Whether there are actions to read."""
    full: bool
    """Every action of every window is observed."""
    padded: bool
    """Some window reaches beyond the end of its trajectory."""
    partial: bool
    """Some readable window is of a partially labeled trajectory."""
    valid: Bool[Tensor, "B T"]
    action_mask: Bool[Tensor, "B T"]
    terminated: Bool[Tensor, "B T"]
    labeled: Bool[Tensor, " B"]
    local: Int[Tensor, " B"]
    """Trajectory by its place in its corpus."""
    start: Int[Tensor, " B"]

    @property
    def last_row(self) -> Int[np.ndarray, " B"] | None:
        """Row of each trajectory's final observation; None when no window is padded."""
        return self.row + self.remaining if self.padded else None

    @property
    def last_action_row(self) -> Int[np.ndarray, " B"] | None:
        """Row of each trajectory's last action; None when no window is padded."""
        return self.action_row + self.remaining - 1 if self.padded else None


class Planner:
    """Plans batches, a block at a time: on small arrays the overhead of a call is all there is.

    Args:
        mixture: the trajectories.
        settings: how they are drawn.
    """

    def __init__(self, mixture: Mixture, settings: SamplingSettings) -> None:
        self._mixture, self._settings = mixture, settings
        self.sampler = Sampler(mixture, settings)
        self._complete = mixture.complete
        self._local = np.arange(len(mixture.length)) - mixture.first[mixture.corpus]
        self._any_partial = bool((mixture.partial & (mixture.action_row >= 0)).any())
        self._any_terminated = bool(mixture.terminated.any())
        self._flags = None
        if self._any_partial:
            flags = [shard.action_observed for shard in mixture.shards]
            self._flags = WindowReader(flags, settings.window)
        self._block: list[Plan] = []
        self._next = -1

    def plan(self, step: int) -> Plan:
        """The plan of batch ``step``."""
        block, place = divmod(step, self.sampler.block)
        # A plan is handed out once, since its tensors are the caller's to change.
        if step != self._next or place == 0:
            self._block = self._make(block)
        self._next = step + 1
        return self._block[place]

    def _make(self, block: int) -> list[Plan]:
        table = self._mixture
        trajectory, begin = self.sampler.draw(block)
        remaining = table.length[trajectory] - begin
        shard, row = table.shard[trajectory], table.row[trajectory] + begin
        action_row = table.action_row[trajectory]
        readable = np.greater_equal(action_row, 0)
        action_row = np.where(readable, action_row + begin, -1)
        partial = readable & table.partial[trajectory]
        padded = np.less(remaining, self._settings.window)

        valid = self._valid(remaining, padded)
        mask = valid & readable[..., None]
        if self._flags is not None and partial.any():
            last = action_row + remaining - 1
            mask[partial] &= self._flags(shard[partial], action_row[partial], last[partial])
        labeled = self._complete[trajectory]
        if self._any_partial and self._settings.label_unit == "window":
            labeled = np.all(mask == valid, axis=-1)
        ends, local = self._ends(trajectory, remaining), self._local[trajectory]
        plans = zip(  # in the order of the fields of Plan
            *(trajectory, begin, remaining, shard, row, action_row, readable),
            *(np.all(mask, axis=(1, 2)).tolist(), np.any(padded, axis=1).tolist()),
            np.any(partial, axis=1).tolist(),
            *(_rows(array) for array in (valid, mask, ends, labeled, local, begin.copy())),
            strict=True,
        )
        return [Plan(*plan) for plan in plans]

    def _valid(
        self, remaining: Int[np.ndarray, "K B"], padded: Bool[np.ndarray, "K B"]
    ) -> Bool[np.ndarray, "K B T"]:
        """Which steps are inside their trajectory."""
        window = self._settings.window
        valid = np.ones((*remaining.shape, window), bool)
        if padded.any():
            valid[padded] = np.arange(window) < remaining[padded][:, None]
        return valid

    def _ends(
        self, trajectory: Int[np.ndarray, "K B"], remaining: Int[np.ndarray, "K B"]
    ) -> Bool[np.ndarray, "K B T"]:
        """Which steps end in a terminal state: only ever the last of a trajectory."""
        window = self._settings.window
        ends = np.zeros((*trajectory.shape, window), bool)
        if self._any_terminated:
            here = np.nonzero(self._mixture.terminated[trajectory] & (remaining <= window))
            ends[(*here, remaining[here] - 1)] = True
        return ends


def _rows(array: np.ndarray) -> tuple[Tensor, ...]:
    """One tensor per batch, made in one go, in the array's memory."""
    return torch.from_numpy(array).unbind()
