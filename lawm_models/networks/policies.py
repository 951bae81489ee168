"""Acting in an environment: filter the state from observations, then choose an action."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from lawm_schemas import ArraySpec, Role
from torch import Tensor

from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.frozen_encoder import FrozenEncoder
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.world_model import WorldModel, standard_noise

Choose = Callable[[State, torch.Generator], Tensor]
"""Normalised action (N, A) for a batch of states."""


class StepPolicy(ABC):
    """A ``lawm_data.envs.policy.VectorPolicy`` that is one function and a memory.

    Args:
        memory_dim: M, numbers that it remembers of each environment; 0 for none.
        like: a tensor of its networks, for their device and type.
    """

    def __init__(self, memory_dim: int, like: Tensor) -> None:
        self.memory_dim, self.like = memory_dim, like
        self.start(1, 0)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.like.device

    @abstractmethod
    def step(
        self,
        observation: Float[Tensor, "N O"],
        memory: Float[Tensor, "N M"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N M"]]:
        """Actions in the environment's units, and what is remembered for the next step.

        Args:
            observation: the fields that it reads, flattened and concatenated.
            memory: of the step before; zeros before the first one.
            generator: of the noise, if there is any.
        """

    def start(self, num_envs: int, seed: int) -> None:
        """See ``VectorPolicy.start``."""
        self._generator = torch.Generator(self.like.device).manual_seed(seed)
        self._memory = self.like.new_zeros(num_envs, self.memory_dim)

    def forget(self, ended: np.ndarray) -> None:
        """Begin anew in some of the environments, (N,) bool; the noise goes on."""
        self._memory[torch.from_numpy(ended).to(self._memory.device)] = 0

    @torch.no_grad()
    def act(self, observation: np.ndarray) -> np.ndarray:
        """See ``VectorPolicy.act``."""
        tensor = torch.tensor(observation).to(self.like)  # a copy: it may be read-only
        action, memory = self.step(tensor, self._memory, self._generator)
        chosen = action.cpu().numpy()
        if np.isfinite(chosen).all():  # what nobody does must not be remembered
            self._memory = memory
        return chosen


class FilteringPolicy(StepPolicy):
    """A policy on top of a world model.

    Its memory is h_t. Every step infers s_t = (h_t, z_t) from it and the observation, with
    q(z_t | h_t, o_t) at its mean, asks ``choose`` for the action, and goes on to h_{t+1}.
    """

    def __init__(self, world: WorldModel, scale: ActionScale, choose: Choose) -> None:
        self._world = world
        self._scale = scale
        self._choose = choose
        like = next(world.parameters()).detach()
        super().__init__(world.rssm.initial(1, like).deter.shape[-1], like)

    def step(
        self,
        observation: Float[Tensor, "N O"],
        memory: Float[Tensor, "N M"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N M"]]:
        """See ``StepPolicy.step``."""
        rssm = self._world.rssm
        encoder = self._world.encoder
        known = rssm.project(encoder(split(encoder, observation)))
        state = State(memory, rssm.posterior(memory, known).mean)
        action = self._scale.taken(self._choose(state, generator))
        return self._scale.to_environment(action), rssm.transition(state, action)


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


class ReactivePolicy(StepPolicy):
    """A policy of a module that needs no memory.

    Args:
        module: chooses the actions.
        like: a tensor of the module, for its device and type.
        deterministic: act without noise.
    """

    def __init__(self, module: Reactive, like: Tensor, deterministic: bool) -> None:
        self._module = module
        self._deterministic = deterministic
        super().__init__(0, like.detach())

    def step(
        self,
        observation: Float[Tensor, "N O"],
        memory: Float[Tensor, "N M"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N M"]]:
        """See ``StepPolicy.step``."""
        size = (observation.shape[0], self._module.action_dim)  # len() would fix N in exports
        if self._deterministic:
            noise = observation.new_zeros(size)
        else:
            noise = standard_noise(observation, generator, *size)
        encoder = getattr(self._module, "encoder", None)  # some read the flat state themselves
        return self._module.act(split(encoder, observation), noise), memory


class FeatureEncoders:
    """From what is observed to what a model on features reads.

    Args:
        encoders: frozen ones, which make the features, by their name.
        reads: what is observed, in order.
        wanted: what the model reads, in order; some are features.
        device: where they compute.
    """

    def __init__(
        self,
        encoders: Mapping[str, FrozenEncoder],
        reads: Sequence[ArraySpec],
        wanted: Sequence[ArraySpec],
        device: torch.device,
    ) -> None:
        self._encoders, self._reads, self._wanted = encoders, reads, wanted
        for encoder in encoders.values():
            encoder.to(device)

    def __call__(self, observation: Float[Tensor, "N O"]) -> Float[Tensor, "N W"]:
        """The fields that the model reads, flattened and side by side."""
        flat = observation.split([spec.size for spec in self._reads], -1)
        named = {spec.name: part for spec, part in zip(self._reads, flat, strict=True)}
        for name, frozen in self._encoders.items():
            parts = torch.cat([named[spec.name] for spec in frozen.observations], -1)
            named[name] = frozen(split(frozen.encoder, parts))
        return torch.cat([named[spec.name] for spec in self._wanted], -1)


class EncodedPolicy(StepPolicy):
    """A policy on features: frozen encoders make them of what is observed, at every step.

    Args:
        policy: acts on the features.
        encoders: what makes them, by their name.
        reads: what is observed, in order.
        wanted: what the policy reads, in order; some are features.
    """

    def __init__(
        self,
        policy: StepPolicy,
        encoders: Mapping[str, FrozenEncoder],
        reads: Sequence[ArraySpec],
        wanted: Sequence[ArraySpec],
    ) -> None:
        self._policy = policy
        self._encode = FeatureEncoders(encoders, reads, wanted, policy.device)
        super().__init__(policy.memory_dim, policy.like)

    def step(
        self,
        observation: Float[Tensor, "N O"],
        memory: Float[Tensor, "N M"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N M"]]:
        """See ``StepPolicy.step``."""
        return self._policy.step(self._encode(observation), memory, generator)


class StackingPolicy(StepPolicy):
    """A policy on stacks of frames as one on frames: it remembers those of the steps before.

    Its memory is a flag, which is 0 before the first step, the frames, and the policy's own memory.

    Args:
        policy: acts on stacks, as ``lawm_data.batches.stacks`` makes them.
        reads: what is observed, in order; of every camera one frame.
        count: frames of a stack.
    """

    def __init__(self, policy: StepPolicy, reads: Sequence[ArraySpec], count: int) -> None:
        self._policy, self._reads, self._count = policy, tuple(reads), count
        self._cameras = [spec for spec in reads if spec.role is Role.pixels]
        kept = (count - 1) * sum(spec.size for spec in self._cameras)
        self._parts = (1, kept, policy.memory_dim)
        super().__init__(sum(self._parts), policy.like)

    def step(
        self,
        observation: Float[Tensor, "N O"],
        memory: Float[Tensor, "N M"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N M"]]:
        """See ``StepPolicy.step``."""
        begun, kept, inner = memory.split(self._parts, -1)
        fields = list(observation.split([spec.size for spec in self._reads], -1))
        sizes = [(self._count - 1) * spec.size for spec in self._cameras]
        before, left = iter(kept.split(sizes, -1)), []
        for place, spec in enumerate(self._reads):
            if spec.role is not Role.pixels:
                continue
            frame = fields[place].unflatten(-1, (1, spec.shape[0], -1, spec.shape[2]))
            known = next(before).unflatten(-1, (self._count - 1, *frame.shape[2:]))
            known = torch.where(begun[..., None, None, None] > 0, known, frame)
            frames = torch.cat((known, frame), 1)
            left.append(frames[:, 1:].flatten(1))
            fields[place] = frames.permute(0, 2, 3, 1, 4).flatten(1)
        action, inner = self._policy.step(torch.cat(fields, -1), inner, generator)
        return action, torch.cat((torch.ones_like(begun), *left, inner), -1)


def split(encoder: Any, flat: Float[Tensor, "N O"]) -> Observation:
    """The observation in its fields, flattened and side by side, as an encoder reads it."""
    return encoder.split(flat) if hasattr(encoder, "split") else Observation(flat)
