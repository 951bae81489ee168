"""The arrays of a batch, from a copy of the corpora in a device's memory."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lawm_data.batches.arrays import StateReader
from lawm_data.batches.gather import WindowReader
from lawm_data.batches.mixture import Mixture
from lawm_data.batches.plan import Windows
from lawm_data.batches.windows import spans

RESIDENT_SHARE = 0.5
"""Share of a device's free memory that resident corpora may take."""


def resident_bytes(mixture: Mixture) -> int:
    """Bytes that ``ResidentArrays`` takes on the device."""
    manifest = mixture.manifest
    rows = int(mixture.length.sum()) + len(mixture.length)
    actions = int(mixture.length[mixture.action_row >= 0].sum()) + 1
    return 4 * (rows * (manifest.state_dim + 1) + actions * manifest.action.size)


class ResidentArrays:
    """State, rewards and readable actions of a mixture on a device; same numbers as mapped.

    Only what the views show is copied: no other trajectories, and no hidden actions.

    Args:
        mixture: the trajectories.
        window: T.
        device: where they go.
    """

    def __init__(self, mixture: Mixture, window: int, device: torch.device) -> None:
        self._device = device
        count = mixture.length + 1
        self._first = torch.from_numpy(np.cumsum(count) - count).to(device)
        state, reward = StateReader(mixture, 1)(
            np.repeat(mixture.shard, count), spans(mixture.row, count)
        )
        rows = np.concatenate([state, reward[..., None]], axis=-1)[:, 0]
        self._rows = torch.from_numpy(rows).to(device)
        actions, first = _readable_actions(mixture)
        self._actions = torch.from_numpy(actions).to(device)
        self._first_action = torch.from_numpy(first).to(device)
        self._steps = torch.arange(window + 1, device=device)

    def state(self, windows: Windows) -> tuple[Float[Tensor, "B rows O"], Float[Tensor, "B T"]]:
        """See ``MappedArrays.state``."""
        steps = torch.minimum(self._steps, self._move(windows.remaining)[:, None])
        index = self._begin(self._first, windows) + steps
        rows = self._rows.index_select(0, index.flatten()).unflatten(0, index.shape)
        return rows[..., :-1], rows[:, :-1, -1]

    def action(self, windows: Windows, mask: Bool[np.ndarray, "B T"]) -> Float[Tensor, "B T A"]:
        """See ``MappedArrays.action``."""
        index = self._begin(self._first_action, windows) + self._steps[:-1]
        # The last row is zero: what is not observed is never looked at.
        index = torch.where(self._move(mask), index, len(self._actions) - 1)
        return self._actions.index_select(0, index.flatten()).unflatten(0, index.shape)

    def _begin(self, first: Int[Tensor, " N"], windows: Windows) -> Int[Tensor, "B 1"]:
        """Row of the first step of each window."""
        return (first[self._move(windows.trajectory)] + self._move(windows.start))[:, None]

    def _move(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def _readable_actions(
    mixture: Mixture,
) -> tuple[Float[np.ndarray, "R A"], Int[np.ndarray, " N"]]:
    """Readable actions and a final row of zeros; the first row of every trajectory."""
    count = np.where(mixture.action_row >= 0, mixture.length, 0)
    actions = np.zeros((int(count.sum()) + 1, mixture.manifest.action.size), np.float32)
    if len(actions) > 1:
        read = WindowReader([shard.actions for shard in mixture.shards], 1)
        rows = read(np.repeat(mixture.shard, count), spans(mixture.action_row, count))
        actions[:-1] = rows.reshape(len(rows), -1)
    return actions, np.cumsum(count) - count
