"""TD3+BC (Fujimoto & Gu 2021, arXiv 2106.06860): TD3 whose policy also imitates the data.

The definition is that of the authors' code; observations come in encoded, actions in [-1, 1].
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from jaxtyping import Float
from lawm_schemas import Count, Schema, Size
from pydantic import Field
from torch import Tensor, nn

from lawm_models.networks.optimizer import adam, minimize
from lawm_models.networks.transitions import Transitions, weighted

SMALLEST_VALUE = 1e-8
"""Stands in for mean |Q| when no step has weight."""


class TD3BCConfig(Schema):
    """Settings of TD3+BC; the defaults are the authors'."""

    units: Size = 256
    """Hidden units of policy and values."""
    layers: Count = 2
    """Hidden layers of policy and values, each Linear and ReLU."""
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
    alpha: float = Field(default=2.5, ge=0)
    """α, weight of the values against imitation."""
    exploration: float = Field(default=0.1, ge=0)
    """Standard deviation of the noise of a policy that is asked not to be deterministic."""


class TD3BC(nn.Module):
    """Policy, twin values, and their targets.

    Args:
        config: settings.
        embed_dim: E, width of an encoded observation.
        action_dim: A.
    """

    def __init__(self, config: TD3BCConfig, embed_dim: int, action_dim: int) -> None:
        super().__init__()
        self.config = config
        self.action_dim = action_dim
        self.actor = nn.Sequential(
            *_hidden(embed_dim, config), nn.Linear(config.units, action_dim), nn.Tanh()
        )
        joint = embed_dim + action_dim
        self.critics = nn.ModuleList(
            nn.Sequential(*_hidden(joint, config), nn.Linear(config.units, 1)) for _ in range(2)
        )
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
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
        """Σ_i mean (Q_i(s,a) − y)², y = r + γ (1−d) min_i Q'_i(s', ã); and the mean of Q_1.

        ã = clip(π'(s') + clip(ε, ±noise_clip), ±1), ε ~ N(0, policy_noise²).
        """
        config = self.config
        with torch.no_grad():
            noise = (noise * config.policy_noise).clamp(-config.noise_clip, config.noise_clip)
            action = (self.target_actor(t.next_observation) + noise).clamp(-1, 1)
            future = _values(self.target_critics, t.next_observation, action).amin(0)
            target = t.reward + config.discount * (1 - t.terminated) * future
        values = _values(self.critics, t.observation, t.action)
        loss = weighted((values - target).square().sum(0), t.weight)
        return loss, weighted(values[0].detach(), t.weight)

    def actor_loss(self, t: Transitions) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """−λ mean Q_1(s, π(s)) + mean (π(s) − a)², λ = α / mean |Q_1|; and the second term."""
        action = self.actor(t.observation)
        value = _values(self.critics[:1], t.observation, action)[0]
        size = weighted(value.detach().abs(), t.weight).clamp(min=SMALLEST_VALUE)
        imitation = weighted((action - t.action).square().mean(-1), t.weight)
        loss = imitation - self.config.alpha / size * weighted(value, t.weight)
        return loss, imitation.detach()

    def act(self, embed: Float[Tensor, "N E"], noise: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Action in [-1, 1] at an encoded observation; zero noise is the policy itself."""
        return (self.actor(embed) + self.config.exploration * noise).clamp(-1, 1)

    @torch.no_grad()
    def _update_targets(self) -> None:
        targets = (*self.target_actor.parameters(), *self.target_critics.parameters())
        onlines = (*self.actor.parameters(), *self.critics.parameters())
        for target, online in zip(targets, onlines, strict=True):
            target.lerp_(online, self.config.target_rate)


def _hidden(in_dim: int, config: TD3BCConfig) -> Iterable[nn.Module]:
    for layer in range(config.layers):
        yield nn.Linear(config.units if layer else in_dim, config.units)
        yield nn.ReLU()


def _values(
    critics: Iterable[nn.Module], embed: Float[Tensor, "N E"], action: Float[Tensor, "N A"]
) -> Float[Tensor, "K N"]:
    joint = torch.cat((embed, action), -1)
    return torch.stack([critic(joint).squeeze(-1) for critic in critics])
