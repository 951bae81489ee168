"""IQL (Kostrikov et al. 2022, arXiv 2110.06169): values of the data's own actions, and cloning.

No action but those of the data is ever valued. Observations come in encoded, actions in [-1, 1].
"""

from __future__ import annotations

import copy
import math
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from lawm_schemas import Count, Schema, Size
from pydantic import Field
from torch import Tensor, nn

from lawm_models.networks.distributions import Normal, log_prob_normal
from lawm_models.networks.expectiles import expectile_loss
from lawm_models.networks.offline.td3 import relu_network, values_of
from lawm_models.networks.offline.transitions import Transitions, weighted
from lawm_models.networks.optimizer import adam, minimize

LOG_STD = (-5.0, 2.0)
"""Bounds of the policy's log standard deviation, those of the authors."""
LARGEST_WEIGHT = 100.0
"""Largest weight of a step in cloning."""
RETURN_RANGE = 1000.0
"""Difference between the largest and the smallest return when rewards are normalised."""
ALIKE = 1e-6
"""Differences between returns, as a share of the largest, that are rounding."""


class IQLConfig(Schema):
    """Settings of IQL; the defaults are the authors' for D4RL's locomotion."""

    units: Size = 256
    """Hidden units of policy and values."""
    layers: Count = 2
    """Hidden layers of policy and values, each Linear and ReLU."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Learning rate of policy and values."""
    discount: float = Field(default=0.99, gt=0, lt=1)
    """γ."""
    target_rate: float = Field(default=0.005, gt=0, le=1)
    """Share of the values Q copied into their targets."""
    expectile: float = Field(default=0.7, gt=0, lt=1)
    """τ: 0.5 values the data's policy, 1 the best action in the data."""
    temperature: float = Field(default=3.0, ge=0)
    """β, how much more better actions are cloned; with 0 all alike."""
    policy: Literal["gaussian", "deterministic"] = "gaussian"
    """Cloned by likelihood, with a standard deviation that is the same everywhere, or by squared
    error."""
    normalize_returns: bool = True
    """Scale rewards so that the returns of the data span 1000, the scale that β is chosen for."""


class IQL(nn.Module):
    """Policy, V(s), twin values Q(s, a), and the targets of these.

    Args:
        config: settings.
        embed_dim: E, width of an encoded observation.
        action_dim: A.
    """

    reads_next_action: ClassVar[bool] = False
    reward_scale: Tensor

    def __init__(self, config: IQLConfig, embed_dim: int, action_dim: int) -> None:
        super().__init__()
        self.config = config
        size = config.units, config.layers
        self.actor = relu_network(embed_dim, action_dim, *size).append(nn.Tanh())
        self.log_std = None
        if config.policy == "gaussian":
            self.log_std = nn.Parameter(torch.zeros(action_dim))
        self.value = relu_network(embed_dim, 1, *size)
        self.critics = nn.ModuleList(
            relu_network(embed_dim + action_dim, 1, *size) for _ in range(2)
        )
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.register_buffer("reward_scale", torch.tensor(1.0))
        policy = [*self.actor.parameters(), *([] if self.log_std is None else [self.log_std])]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "actor": adam(policy, config.learning_rate, eps=1e-8),
            "value": adam(self.value.parameters(), config.learning_rate, eps=1e-8),
            "critic": adam(self.critics.parameters(), config.learning_rate, eps=1e-8),
        }

    def fit(self, returns: Float[np.ndarray, " N"]) -> None:
        """See ``algorithms._offline.Learner``; where all are alike rewards stay as they are."""
        if not self.config.normalize_returns or not len(returns):
            return
        span = float(np.ptp(returns))
        if span > ALIKE * np.abs(returns).max():
            self.reward_scale.fill_(RETURN_RANGE / span)

    def update(self, t: Transitions, noise: Float[Tensor, "N A"]) -> dict[str, Tensor]:
        """One gradient step each of V, of the policy and of Q, in the authors' order.

        Args:
            t: with an action wherever there is weight.
            noise: not needed.
        """
        losses = {"expectile": self.value_loss(t)}
        minimize(self.optimizers["value"], losses["expectile"])
        losses["actor"] = self.actor_loss(t)
        minimize(self.optimizers["actor"], losses["actor"])
        losses["critic"] = self.critic_loss(t)
        minimize(self.optimizers["critic"], losses["critic"])
        self._update_targets()
        return {name: loss.detach() for name, loss in losses.items()}

    def advantage(self, t: Transitions) -> Float[Tensor, " N"]:
        """A = min_i Q'_i(s, a) − V(s)."""
        with torch.no_grad():
            best = values_of(self.target_critics, t.observation, t.action).amin(0)
        return best - self.value(t.observation).squeeze(-1)

    def value_loss(self, t: Transitions) -> Float[Tensor, ""]:
        """Mean |τ − 1(A < 0)| A² (Eq. 5)."""
        advantage = self.advantage(t)
        return 0.5 * weighted(expectile_loss(advantage, self.config.expectile), t.weight)

    def critic_loss(self, t: Transitions) -> Float[Tensor, ""]:
        """Σ_i mean (Q_i(s,a) − r − γ (1−d) V(s'))² (Eq. 6)."""
        with torch.no_grad():
            future = self.value(t.next_observation).squeeze(-1)
            reward = self.reward_scale * t.reward
            target = reward + self.config.discount * (1 - t.terminated) * future
        values = values_of(self.critics, t.observation, t.action)
        return weighted((values - target).square().sum(0), t.weight)

    def actor_loss(self, t: Transitions) -> Float[Tensor, ""]:
        """Mean min(exp(β A), 100) · (−log π(a|s)) (Eq. 7); ‖π(s) − a‖² if it is deterministic."""
        with torch.no_grad():
            advantage = self.config.temperature * self.advantage(t)
            importance = advantage.clamp(max=math.log(LARGEST_WEIGHT)).exp()
        mean, std = self.actor(t.observation), self._std()
        if std is None:
            loss = (mean - t.action).square().sum(-1)
        else:
            loss = -log_prob_normal(Normal(mean, std), t.action)
        return weighted(importance * loss, t.weight)

    def act(self, embed: Float[Tensor, "N E"], noise: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Action in [-1, 1] at an encoded observation; zero noise is the policy's mean."""
        mean, std = self.actor(embed), self._std()
        return mean if std is None else (mean + std * noise).clamp(-1, 1)

    def _std(self) -> Float[Tensor, " A"] | None:
        return None if self.log_std is None else self.log_std.clamp(*LOG_STD).exp()

    @torch.no_grad()
    def _update_targets(self) -> None:
        targets, onlines = self.target_critics.parameters(), self.critics.parameters()
        for target, online in zip(targets, onlines, strict=True):
            target.lerp_(online, self.config.target_rate)
