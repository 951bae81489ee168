"""How other libraries fetch the windows of ``sampling.py``; imported by it, when asked to."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from sampling import Size

Source = Callable[["Size", int], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Observations (T+1, O), actions (T, A) and rewards (T,) of a trajectory by its number."""


def torchrl(folder: Path, size: Size, source: Source) -> Callable[[], Any]:
    """TorchRL's slice sampler on a memory map."""
    from tensordict import TensorDict
    from torchrl.data import LazyMemmapStorage, ReplayBuffer, SliceSampler

    sampler = SliceSampler(
        slice_len=size.window, traj_key="episode", cache_values=True, strict_length=True
    )
    storage = LazyMemmapStorage(size.trajectories * size.length, scratch_dir=folder)
    steps = size.batch * size.window
    buffer = ReplayBuffer(storage=storage, sampler=sampler, batch_size=steps)
    for number in range(size.trajectories):
        state, actions, rewards = (torch.from_numpy(a) for a in source(size, number))
        data = {
            "observation": state[:-1],
            "action": actions,
            "reward": rewards,
            "episode": torch.full((size.length,), number),
        }
        buffer.extend(TensorDict(data, batch_size=[size.length]))
    return buffer.sample


def minari(folder: Path, size: Size, source: Source) -> Callable[[], Any]:
    """Minari's episodes, cut to windows."""
    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    import gymnasium
    from minari import create_dataset_from_buffers
    from minari.data_collector import EpisodeBuffer

    def episode(number: int) -> EpisodeBuffer:
        state, actions, rewards = source(size, number)
        return EpisodeBuffer(
            id=number,
            observations=state,
            actions=actions,
            rewards=rewards,
            terminations=np.zeros(size.length, bool),
            truncations=np.arange(size.length) == size.length - 1,
        )

    state, actions, _ = source(size, 0)
    box = gymnasium.spaces.Box
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a description, an author and the like
        dataset = create_dataset_from_buffers(
            dataset_id="lawm/sampling-v0",
            buffer=[episode(number) for number in range(size.trajectories)],
            observation_space=box(-np.inf, np.inf, state.shape[1:], np.float32),
            action_space=box(-np.inf, np.inf, actions.shape[1:], np.float32),
        )
    rng = np.random.default_rng(0)

    def fetch() -> list[tuple[np.ndarray, ...]]:
        starts = rng.integers(size.length - size.window + 1, size=size.batch).tolist()
        cuts = [slice(start, start + size.window) for start in starts]
        episodes = dataset.sample_episodes(size.batch)
        return [
            (e.observations[cut], e.actions[cut], e.rewards[cut])
            for e, cut in zip(episodes, cuts, strict=True)
        ]

    return fetch
