"""Acting in an environment: filter the state from observations, then choose an action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.world_model import WorldModel, standard_noise

Choose = Callable[[State, torch.Generator], Tensor]
"""Normalised action (N, A) for a batch of states."""


class FilteringPolicy:
    """A ``lawm_data.envs.policy.Policy`` on top of a world model.

    Keeps s_t for N environments; every ``act`` first updates it with the observation, by
    q(s_t | s_{t−1}, a_{t−1}, o_t) at its mean, then asks ``choose``.
    """

    def __init__(self, world: WorldModel, scale: ActionScale, choose: Choose) -> None:
        self._world = world
        self._scale = scale
        self._choose = choose
        self.start(1, 0)

    def start(self, num_envs: int, seed: int) -> None:
        """See ``Policy.start``."""
        like = next(self._world.parameters())
        self._generator = torch.Generator(like.device).manual_seed(seed)
        self._deter = self._world.rssm.initial(num_envs, like).deter

    @torch.no_grad()
    def act(self, observation: np.ndarray) -> np.ndarray:
        """See ``Policy.act``."""
        rssm = self._world.rssm
        tensor = torch.tensor(observation).to(self._deter)  # a copy: it may be read-only
        known = rssm.project(self._world.encoder(Observation(tensor)))
        state = State(self._deter, rssm.posterior(self._deter, known).mean)
        action = self._choose(state, self._generator)
        self._deter = rssm.transition(state, action)
        return self._scale.to_environment(action).cpu().numpy()


def noisy(draw: Callable[[Tensor, Tensor], Tensor], dim: int) -> Choose:
    """``Choose`` that samples: ``draw(feature, noise)`` with noise of width ``dim``."""

    def choose(state: State, generator: torch.Generator) -> Tensor:
        feature = state.feature
        return draw(feature, standard_noise(feature, generator, len(feature), dim))

    return choose


class Reactive(Protocol):
    """A module that acts on observations."""

    action_dim: int
    """A."""

    def act(self, observation: Observation, noise: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
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
        return self._module.act(Observation(state), noise.to(self._like)).cpu().numpy()
