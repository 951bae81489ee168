"""The arrays of a batch, read from memory-mapped shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt
from lawm_schemas import Role
from torch import Tensor

from lawm_data.batches.gather import SliceReader, WindowReader
from lawm_data.batches.mixture import Mixture
from lawm_data.batches.sampler import Windows
from lawm_data.batches.stacks import stacked
from lawm_data.batches.windows import spans
from lawm_data.corpus.layout import Layout


class StateReader:
    """Reads the concatenated state and the rewards.

    float32 fields and the reward lie packed in ``steps``; fields of other types and features lie
    apart, are cast to float32 and set between the packed ones, in the order of the manifest. Where
    corpora store the same fields in different ways, each is read in its own.

    Args:
        mixture: the trajectories.
        rows: rows per window.
    """

    def __init__(self, mixture: Mixture, rows: int) -> None:
        ways: dict[tuple[int | str, ...], list[int]] = {}
        for number, layout in enumerate(mixture.layouts):
            ways.setdefault(_way_of(layout), []).append(number)
        self._readers = [_StateReader(mixture, numbers, rows) for numbers in ways.values()]
        self._way = np.zeros(len(mixture.shards), np.int64)
        for way, numbers in enumerate(ways.values()):
            self._way[numbers] = way
        self._shape = rows, mixture.manifest.state_dim

    def __call__(
        self,
        shard: Int[np.ndarray, " B"],
        row: Int[np.ndarray, " B"],
        last: Int[np.ndarray, " B"] | None = None,
    ) -> tuple[Float[np.ndarray, "B rows O"], Float[np.ndarray, "B rows"]]:
        """State and, for the step that leaves each row, reward; see ``WindowReader``."""
        if len(self._readers) == 1:
            return self._readers[0](shard, row, last)
        state = np.empty((len(shard), *self._shape), np.float32)
        reward = np.empty((len(shard), self._shape[0]), np.float32)
        way = self._way[shard]
        for number in np.unique(way).tolist():
            here = way == number
            until = None if last is None else last[here]
            state[here], reward[here] = self._readers[number](shard[here], row[here], until)
        return state, reward


def _way_of(layout: Layout) -> tuple[int | str, ...]:
    """How a shard stores the state; two that are equal are read by one reader."""
    first = {spec.name: columns.start for spec, columns in layout.packed}
    return (layout.width, *(first.get(spec.name, spec.dtype) for spec in layout.state))


class _StateReader:
    """Reads shards that store the state in one way."""

    def __init__(self, mixture: Mixture, numbers: Sequence[int], rows: int) -> None:
        shards = [shard if n in numbers else None for n, shard in enumerate(mixture.shards)]
        layouts = mixture.layouts
        layout = layouts[numbers[0]]
        self._steps = WindowReader([None if s is None else s.steps for s in shards], rows)
        self._packed: list[tuple[slice, slice]] = []
        self._apart: list[tuple[slice, WindowReader]] = []
        packed, column = {spec.name: part for spec, part in layout.packed}, 0
        for place, spec in enumerate(layout.state):
            here = slice(column, column + spec.size)
            column = here.stop
            if spec.name in packed:
                self._packed.append((here, packed[spec.name]))
            else:
                # the field may have another name in another corpus
                arrays: list[Any] = [
                    None if shard is None else shard.fields[its.state[place].name]
                    for shard, its in zip(shards, layouts, strict=True)
                ]
                self._apart.append((here, WindowReader(arrays, rows)))
        self._width = column
        self._as_stored = column == layout.width - 1 and not self._apart

    def __call__(
        self,
        shard: Int[np.ndarray, " B"],
        row: Int[np.ndarray, " B"],
        last: Int[np.ndarray, " B"] | None = None,
    ) -> tuple[Float[np.ndarray, "B rows O"], Float[np.ndarray, "B rows"]]:
        steps = self._steps(shard, row, last)
        packed, reward = steps[..., :-1], steps[..., -1]
        if self._as_stored:
            return packed, reward
        if len(self._apart) == 1 and not self._packed:  # features, as a rule
            return _floats(self._apart[0][1](shard, row, last)).reshape(*reward.shape, -1), reward
        state = np.empty((*reward.shape, self._width), np.float32)
        for columns, stored in self._packed:
            state[..., columns] = packed[..., stored]
        for columns, read in self._apart:
            state[..., columns] = _floats(read(shard, row, last)).reshape(*reward.shape, -1)
        return state, reward


def _floats(array: np.ndarray) -> np.ndarray:
    """The numbers as float32; torch is faster than NumPy where they are of half precision."""
    if array.dtype == np.float16:
        return torch.from_numpy(array).float().numpy()
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
        return array.astype(np.float32)


class ActionReader:
    """Reads actions, which corpora may store in different types, as float32.

    Args:
        mixture: the trajectories.
        rows: rows per window.
    """

    def __init__(self, mixture: Mixture, rows: int) -> None:
        arrays = [*(shard.actions for shard in mixture.shards), *mixture.inferred]
        kinds = list(dict.fromkeys(array.dtype for array in arrays if array is not None))
        self._readers = [
            WindowReader([a if a is not None and a.dtype == k else None for a in arrays], rows)
            for k in kinds
        ]
        own = [0 if array is None else kinds.index(array.dtype) for array in arrays]
        self._kind = np.array(own, np.int64)
        self._shape = rows, mixture.manifest.action.size

    def __call__(
        self,
        shard: Int[np.ndarray, " n"],
        row: Int[np.ndarray, " n"],
        last: Int[np.ndarray, " n"] | None = None,
    ) -> Float[np.ndarray, "n T A"]:
        """See ``WindowReader``."""
        if len(self._readers) == 1:
            read = self._readers[0](shard, row, last)
            return read if read.dtype == np.float32 else read.astype(np.float32)
        actions = np.empty((len(shard), *self._shape), np.float32)
        kind = self._kind[shard]
        for number in np.unique(kind).tolist():
            here = kind == number
            until = None if last is None else last[here]
            actions[here] = self._readers[number](shard[here], row[here], until)
        return actions


class MappedArrays:
    """The large arrays of a batch, from the mapped shards of a mixture.

    Args:
        mixture: the trajectories.
        window: T.
        frame_stack: frames that are stacked at every step.
    """

    def __init__(self, mixture: Mixture, window: int, frame_stack: int = 1) -> None:
        manifest, shards = mixture.manifest, mixture.shards
        self._stack, rows = frame_stack, window + frame_stack
        self._state = StateReader(mixture, window + 1)
        self._action = None
        if (mixture.action_row >= 0).any():
            self._action = ActionReader(mixture, window)
        self._width = manifest.action.size
        self._pixels = {
            spec.name: SliceReader([shard.fields[spec.name] for shard in shards], rows)
            for spec in manifest.observations
            if spec.role is Role.pixels
        }

    def state(self, windows: Windows) -> tuple[Float[Tensor, "B rows O"], Float[Tensor, "B T"]]:
        """State and rewards; padding repeats the last state, and its reward is 0."""
        state, reward = self._state(windows.shard, windows.row, windows.last_row)
        # The row of a final observation holds reward 0, so padding does too.
        return torch.from_numpy(state), torch.from_numpy(reward[:, :-1])

    def action(self, windows: Windows, mask: Bool[np.ndarray, "B T"]) -> Float[Tensor, "B T A"]:
        """Actions where the mask is set, zero elsewhere."""
        shard, row, last = windows.action_shard, windows.action_row, windows.last_action_row
        if not windows.hidden:
            assert self._action is not None
            action = self._action(shard, row, last)
        else:
            action = np.zeros((*mask.shape, self._width), np.float32)
            some = row >= 0
            if some.any():
                last = None if last is None else last[some]
                assert self._action is not None
                action[some] = self._action(shard[some], row[some], last)
        if windows.padded or windows.partial or windows.unseen:
            action[~mask] = 0
        return torch.from_numpy(action)

    def pixels(self, windows: Windows) -> dict[str, UInt[np.ndarray, "B rows h w c"]]:
        """Camera fields by name; padding repeats the last image, and the first before the start."""
        if not self._pixels:
            return {}
        if self._stack == 1:
            shard, row, last = windows.shard, windows.row, windows.last_row
            return {name: read(shard, row, last) for name, read in self._pixels.items()}
        before = np.minimum(windows.start, self._stack - 1)
        row, last = windows.row - before, windows.row + windows.remaining
        return {
            name: stacked(read(windows.shard, row, last), self._stack - 1 - before, self._stack)
            for name, read in self._pixels.items()
        }


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
        # readable actions, and a final row of zeros for all others
        count = np.where(mixture.action_row >= 0, mixture.length, 0)
        actions = np.zeros((int(count.sum()) + 1, mixture.manifest.action.size), np.float32)
        if len(actions) > 1:
            read = ActionReader(mixture, 1)
            found = read(np.repeat(mixture.action_shard, count), spans(mixture.action_row, count))
            actions[:-1] = found.reshape(len(found), -1)
        self._actions = torch.from_numpy(actions).to(device)
        self._first_action = torch.from_numpy(np.cumsum(count) - count).to(device)
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
