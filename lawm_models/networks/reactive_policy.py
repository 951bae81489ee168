"""Acting in an environment on the observation alone, without memory."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class Reactive(Protocol):
    """A module that acts on observations."""

    action_dim: int
    """A."""

    def act(
        self, observation: Float[Tensor, "N O"], noise: Float[Tensor, "N A"]
    ) -> Float[Tensor, "N A"]:
        """Actions in environment units; zero noise is the deterministic choice."""
        ...


class ReactivePolicy:
    """``lawm_data.envs.policy.Policy`` of a module that needs no memory.

    Args:
        module: chooses the actions.
        like: a tensor of the module, for its device and type.
        deterministic: act without noise.
    """

    def __init__(self, module: Reactive, like: Tensor, deterministic: bool) -> None:
        self._module = module
        self._like = like
        self._deterministic = deterministic
        self.start(1, 0)

    def start(self, num_envs: int, seed: int) -> None:
        """See ``Policy.start``."""
        self._generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def act(self, observation: np.ndarray) -> np.ndarray:
        """See ``Policy.act``."""
        size = (len(observation), self._module.action_dim)
        noise = torch.randn(size, generator=self._generator)
        if self._deterministic:
            noise = torch.zeros(size)
        state = torch.from_numpy(observation).to(self._like)
        return self._module.act(state, noise.to(self._like)).cpu().numpy()
