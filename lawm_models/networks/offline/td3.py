"""TD3 (Fujimoto et al. 2018, arXiv 1802.09477) on recorded steps: what its offline kin share.

Observations come in encoded, actions in [-1, 1].
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from lawm_schemas import Count, Schema, Size
from pydantic import Field
from torch import Tensor, nn

from lawm_models.networks.offline.transitions import Transitions, weighted
from lawm_models.networks.optimizer import adam, minimize

SMALLEST_VALUE = 1e-8
"""Stands in for mean |Q| when no step has weight."""


class TD3Config(Schema):
    """Settings that all have; the defaults are those of TD3+BC's authors."""

    units: Size = 256
    """Hidden units of policy and values."""
    layers: Count = 2
    """Hidden layers of policy and values."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Learning rate of policy and values."""
    discount: float = Field(default=0.99, gt=0, lt=1)
    """γ."""
    target_rate: float = Field(default=0.005, gt=0, le=1)
    """τ, share of the networks copied into the target networks."""
    policy_noise: float = Field(default=0.2, ge=0)
    """Standard deviation of the noise on the target policy's actions."""
    noise_clip: float = Field(default=0.5, ge=0)
    """Largest such noise."""
    policy_delay: int = Field(default=2, ge=1)
    """Gradient steps of the values for one of the policy and of all targets."""
    exploration: float = Field(default=0.1, ge=0)
    """Standard deviation of the noise of a policy that is asked not to be deterministic."""


C = TypeVar("C", bound=TD3Config)


class TD3(nn.Module, ABC, Generic[C]):
    """Policy, twin values, and their targets.

    Args:
        config: settings.
        actor: the policy, from an encoded observation to an action.
        critics: the values Q(s, a), of both side by side.
    """

    reads_next_action: ClassVar[bool] = False

    def __init__(self, config: C, actor: nn.Module, critics: Sequence[nn.Module]) -> None:
        super().__init__()
        self.actor = actor
        self.critics = nn.ModuleList(critics)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.config = config
        self._steps = 0
        # the authors keep Adam's own epsilon
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "actor": adam(self.actor.parameters(), config.learning_rate, eps=1e-8),
            "critic": adam(self.critics.parameters(), config.learning_rate, eps=1e-8),
        }

    def get_extra_state(self) -> Tensor:
        """Gradient steps taken; not a buffer, so that reading it never waits for the device."""
        return torch.tensor(self._steps)

    def set_extra_state(self, state: Tensor) -> None:
        """See ``get_extra_state``."""
        self._steps = int(state)

    def fit(self, returns: Float[np.ndarray, " N"]) -> None:
        """See ``algorithms._offline.Learner``; the size of rewards does not matter to it."""

    def update(self, t: Transitions, noise: Float[Tensor, "N A"]) -> dict[str, Tensor]:
        """One gradient step of the values and, every ``policy_delay`` steps, of the policy.

        Args:
            t: with an action wherever there is weight.
            noise: standard normal.
        """
        self._steps += 1
        loss, value = self.critic_loss(t, noise)
        minimize(self.optimizers["critic"], loss)
        metrics = {"critic": loss.detach(), "value": value}
        if self._steps % self.config.policy_delay == 0:
            loss, imitation = self.actor_loss(t)
            minimize(self.optimizers["actor"], loss)
            self._update_targets()
            metrics |= {"actor": loss.detach(), "imitation": imitation}
        return metrics

    def critic_loss(
        self, t: Transitions, noise: Float[Tensor, "N A"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Σ_i mean (Q_i(s,a) − y)², y = r + γ (1−d) ``future``(s', ã); and the mean of Q_1.

        ã = clip(π'(s') + clip(ε, ±noise_clip), ±1), ε ~ N(0, policy_noise²).
        """
        config = self.config
        with torch.no_grad():
            noise = (noise * config.policy_noise).clamp(-config.noise_clip, config.noise_clip)
            action = (self.target_actor(t.next_observation) + noise).clamp(-1, 1)
            target = t.reward + config.discount * (1 - t.terminated) * self.future(t, action)
        values = values_of(self.critics, t.observation, t.action)
        loss = weighted((values - target).square().sum(0), t.weight)
        return loss, weighted(values[0].detach(), t.weight)

    def future(self, t: Transitions, action: Float[Tensor, "N A"]) -> Float[Tensor, " N"]:
        """min_i Q'_i(s', ã), the value of what comes after a step."""
        return values_of(self.target_critics, t.next_observation, action).amin(0)

    @abstractmethod
    def actor_loss(self, t: Transitions) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Loss of the policy, and the part of it that is imitation."""

    def act(self, embed: Float[Tensor, "N E"], noise: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Action in [-1, 1] at an encoded observation; zero noise is the policy itself."""
        return (self.actor(embed) + self.config.exploration * noise).clamp(-1, 1)

    @torch.no_grad()
    def _update_targets(self) -> None:
        targets = (*self.target_actor.parameters(), *self.target_critics.parameters())
        onlines = (*self.actor.parameters(), *self.critics.parameters())
        for target, online in zip(targets, onlines, strict=True):
            target.lerp_(online, self.config.target_rate)


def relu_network(
    in_dim: int, out_dim: int, units: int, layers: int, normed: bool = False
) -> nn.Sequential:
    """``layers`` × (Linear, ReLU and, if ``normed``, LayerNorm), then a Linear to ``out_dim``."""
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(in_dim, units), nn.ReLU(), *([nn.LayerNorm(units)] if normed else [])]
        in_dim = units
    return nn.Sequential(*parts, nn.Linear(in_dim, out_dim))


def values_of(
    critics: Iterable[nn.Module], embed: Float[Tensor, "N E"], action: Float[Tensor, "N A"]
) -> Float[Tensor, "K N"]:
    """Q_i(s, a) of every critic."""
    joint = torch.cat((embed, action), -1)
    return torch.stack([critic(joint).squeeze(-1) for critic in critics])
