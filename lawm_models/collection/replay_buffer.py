"""The trajectories an online agent has collected so far, in memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lawm_data.batches.batch import Batch


class ReplayBuffer:
    """Fully labeled trajectories of any length; windows start uniformly over valid starts.

    Args:
        window: T, steps per window; shorter trajectories are padded.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._items: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]] = []
        self._pixels: list[Mapping[str, np.ndarray]] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._items)

    def add(
        self,
        observation: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        pixels: Mapping[str, np.ndarray] | None = None,
        terminated: bool = False,
    ) -> None:
        """Append a trajectory: (T+1, O), (T, A) and (T,) float32, cameras (T+1, h, w, c) uint8.

        ``terminated``: whether its last step led to a terminal state.
        """
        length, missing = len(reward), max(0, self.window - len(reward))
        ends = np.zeros(length + missing, bool)
        ends[length - 1] = terminated
        if missing:
            observation = np.pad(observation, ((0, missing), (0, 0)), mode="edge")
            action = np.pad(action, ((0, missing), (0, 0)))
            reward = np.pad(reward, (0, missing))
        self._items.append((observation, action, reward, ends, length))
        self._pixels.append(pixels or {})
        starts = len(reward) - self.window + 1
        self._ends.append(starts + (self._ends[-1] if self._ends else 0))

    def sample(self, batch_size: int, generator: np.random.Generator) -> Batch:
        """Draw B windows."""
        ends = np.asarray(self._ends)
        draws = generator.integers(ends[-1], size=batch_size)
        chosen = np.searchsorted(ends, draws, side="right")
        starts = draws - np.concatenate(([0], ends[:-1]))[chosen]
        rows = [self._window(int(i), int(s)) for i, s in zip(chosen, starts, strict=True)]
        observation, action, reward, terminated, valid = (
            torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)
        )
        return Batch(
            observation=observation,
            action=action,
            action_mask=valid,
            reward=reward,
            rewarded=torch.ones(batch_size, dtype=torch.bool),
            terminated=terminated,
            valid=valid,
            unseen=torch.zeros_like(valid),
            labeled=torch.ones(batch_size, dtype=torch.bool),
            trajectory=torch.from_numpy(chosen),
            start=torch.from_numpy(starts),
            pixels={name: self._frames(name, chosen, starts) for name in self._pixels[0]},
        )

    def _frames(self, camera: str, chosen: np.ndarray, starts: np.ndarray) -> torch.Tensor:
        """(B, T+1, h, w, c) uint8; padding repeats the last frame."""
        steps, found = np.arange(self.window + 1), []
        for item, start in zip(chosen.tolist(), starts.tolist(), strict=True):
            images = self._pixels[item][camera]
            found.append(images[np.minimum(start + steps, len(images) - 1)])
        return torch.from_numpy(np.stack(found))

    def _window(self, item: int, start: int) -> tuple[np.ndarray, ...]:
        observation, *of_steps, length = self._items[item]
        stop = start + self.window
        valid = np.arange(start, stop) < length
        return observation[start : stop + 1], *(x[start:stop] for x in of_steps), valid
