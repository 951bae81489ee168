"""TD3+BC (Fujimoto & Gu 2021, arXiv 2106.06860): TD3 whose policy also imitates the data.

The definition is that of the authors' code.
"""

from __future__ import annotations

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from lawm_models.networks.offline.td3 import (
    SMALLEST_VALUE,
    TD3,
    TD3Config,
    relu_network,
    values_of,
)
from lawm_models.networks.offline.transitions import Transitions, weighted


class TD3BCConfig(TD3Config):
    """Settings of TD3+BC; the defaults are the authors'."""

    alpha: float = Field(default=2.5, ge=0)
    """α, weight of the values against imitation."""


class TD3BC(TD3[TD3BCConfig]):
    """TD3 with imitation.

    Args:
        config: settings.
        embed_dim: E, width of an encoded observation.
        action_dim: A.
    """

    def __init__(self, config: TD3BCConfig, embed_dim: int, action_dim: int) -> None:
        size = config.units, config.layers
        actor = relu_network(embed_dim, action_dim, *size).append(nn.Tanh())
        critics = [relu_network(embed_dim + action_dim, 1, *size) for _ in range(2)]
        super().__init__(config, actor, critics)

    def actor_loss(self, t: Transitions) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """−λ mean Q_1(s, π(s)) + mean (π(s) − a)², λ = α / mean |Q_1|; and the second term."""
        action = self.actor(t.observation)
        value = values_of(self.critics[:1], t.observation, action)[0]
        size = weighted(value.detach().abs(), t.weight).clamp(min=SMALLEST_VALUE)
        imitation = weighted((action - t.action).square().mean(-1), t.weight)
        loss = imitation - self.config.alpha / size * weighted(value, t.weight)
        return loss, imitation.detach()
