"""What a batch will hold, worked out before its large arrays are read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from lawm_data.batches.gather import WindowReader
from lawm_data.batches.mixture import Mixture
from lawm_data.batches.sampler import Sampler, SamplingSettings


class Windows(NamedTuple):
    """The windows of one batch, and where their rows are."""

    trajectory: Int[np.ndarray, " B"]
    """Row of the mixture's table."""
    local: Int[np.ndarray, " B"]
    """Place in its corpus."""
    start: Int[np.ndarray, " B"]
    """First step."""
    remaining: Int[np.ndarray, " B"]
    """Steps from there to the end of the trajectory."""
    shard: Int[np.ndarray, " B"]
    row: Int[np.ndarray, " B"]
    """Row of the first observation."""
    action_row: Int[np.ndarray, " B"]
    """Row of the first action; -1 where there is none to read."""
    complete: Bool[np.ndarray, " B"]
    """Every action of the trajectory is observed."""
    rewarded: Bool[np.ndarray, " B"]
    """Its rewards were recorded."""
    padded: bool
    """Some window reaches beyond the end of its trajectory."""
    hidden: bool
    """Some window has no actions to read."""
    partial: bool
    """Some window with actions to read is of a partially labeled trajectory."""
    ended: bool
    """Some window reaches a terminal state."""

    @property
    def last_row(self) -> Int[np.ndarray, " B"] | None:
        """Row of each trajectory's final observation; None when no window is padded."""
        return self.row + self.remaining if self.padded else None

    @property
    def last_action_row(self) -> Int[np.ndarray, " B"] | None:
        """Row of each trajectory's last action; None when no window is padded."""
        return self.action_row + self.remaining - 1 if self.padded else None


class Plan(NamedTuple):
    """A batch without its large arrays."""

    windows: Windows
    valid: Bool[np.ndarray, "B T"]
    action_mask: Bool[np.ndarray, "B T"]
    terminated: Bool[np.ndarray, "B T"]
    labeled: Bool[np.ndarray, " B"]


class Planner:
    """Plans batches; windows are drawn for many batches at once, which costs little more.

    Args:
        mixture: the trajectories.
        settings: how they are drawn.
    """

    def __init__(self, mixture: Mixture, settings: SamplingSettings) -> None:
        self._mixture, self._window = mixture, settings.window
        self.sampler = Sampler(mixture, settings)
        self._complete = mixture.complete
        self._local = np.arange(len(mixture.length)) - mixture.first[mixture.corpus]
        self._partial = mixture.partial & (mixture.action_row >= 0)
        self._per_window = settings.label_unit == "window"
        self._all = np.ones((settings.batch_size, settings.window), bool)
        self._steps = np.arange(settings.window)
        self._flags = None
        if self._partial.any():
            flags = [shard.action_observed for shard in mixture.shards]
            self._flags = WindowReader(flags, settings.window)
        self._block: list[Windows] = []
        self._next = -1

    def plan(self, step: int) -> Plan:
        """The plan of batch ``step``."""
        block, place = divmod(step, self.sampler.block)
        # Windows are handed out once: their arrays become the caller's tensors, to change.
        if step != self._next or place == 0:
            self._block = self._draw(block)
        self._next = step + 1
        windows = self._block[place]
        valid = self._valid(windows)
        mask = self._action_mask(windows, valid)
        labeled = windows.complete
        if self._per_window and windows.partial:
            labeled = np.all(mask == valid, axis=1)
        return Plan(windows, valid, mask, self._terminated(windows), labeled)

    def _draw(self, block: int) -> list[Windows]:
        table = self._mixture
        trajectory, start = self.sampler.draw(block)
        remaining = table.length[trajectory] - start
        action_row = table.action_row[trajectory]
        hidden = np.less(action_row, 0)
        ended = table.terminated[trajectory] & (remaining <= self._window)
        flags = (remaining < self._window, hidden, self._partial[trajectory], ended)
        columns = zip(  # in the order of the fields of Windows
            *(trajectory, self._local[trajectory], start, remaining, table.shard[trajectory]),
            *(table.row[trajectory] + start, np.where(hidden, -1, action_row + start)),
            *(self._complete[trajectory], table.rewarded[trajectory]),
            *(np.any(flag, axis=1).tolist() for flag in flags),
            strict=True,
        )
        return [Windows(*row) for row in columns]

    def _valid(self, windows: Windows) -> Bool[np.ndarray, "B T"]:
        if windows.padded:
            return self._steps < windows.remaining[:, None]
        return self._all.copy()

    def _action_mask(
        self, windows: Windows, valid: Bool[np.ndarray, "B T"]
    ) -> Bool[np.ndarray, "B T"]:
        if not (windows.hidden or windows.partial):
            return valid.copy()
        mask = valid & (windows.action_row >= 0)[:, None]
        if windows.partial and self._flags is not None:
            some, last = self._partial[windows.trajectory], windows.last_action_row
            last = None if last is None else last[some]
            mask[some] &= self._flags(windows.shard[some], windows.action_row[some], last)
        return mask

    def _terminated(self, windows: Windows) -> Bool[np.ndarray, "B T"]:
        """Only ever the last step of a trajectory."""
        terminated = np.zeros(self._all.shape, bool)
        if windows.ended:
            ends = self._mixture.terminated[windows.trajectory]
            here = np.flatnonzero(ends & (windows.remaining <= self._window))
            terminated[here, windows.remaining[here] - 1] = True
        return terminated
