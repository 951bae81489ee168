"""ReBRAC (Tarasov et al. 2023, arXiv 2305.09836): TD3+BC whose values pay for imitation, too.

Beside that, the values are deeper and normalised, and the policy climbs the smaller of the two. The
definition is that of the authors' code, for which the last layers begin near zero.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from lawm_schemas import Count
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

FIRST_BIAS = 0.1
"""Biases of hidden layers before training."""
FIRST_ACTION, FIRST_VALUE = 1e-3, 3e-3
"""Largest weights of the last layers before training."""


class ReBRACConfig(TD3Config):
    """Settings of ReBRAC; the defaults are the authors' for D4RL's locomotion."""

    layers: Count = 3
    """Hidden layers of policy and values."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Learning rate of policy and values."""
    actor_imitation: float = Field(default=0.01, ge=0)
    """β₁, weight of imitation in the policy's loss; the authors choose 0.001 to 0.1 by data set."""
    critic_imitation: float = Field(default=0.01, ge=0)
    """β₂, its weight in the values' targets; the authors choose 0 to 0.5 by data set."""


class ReBRAC(TD3[ReBRACConfig]):
    """TD3 with imitation in policy and values.

    Args:
        config: settings.
        embed_dim: E, width of an encoded observation.
        action_dim: A.
    """

    reads_next_action: ClassVar[bool] = True

    def __init__(self, config: ReBRACConfig, embed_dim: int, action_dim: int) -> None:
        size = config.units, config.layers
        actor = relu_network(embed_dim, action_dim, *size)
        joint = embed_dim + action_dim
        critics = [relu_network(joint, 1, *size, normed=True) for _ in range(2)]
        for network, bound in ((actor, FIRST_ACTION), *((q, FIRST_VALUE) for q in critics)):
            _begin(network, bound)
        super().__init__(config, actor.append(nn.Tanh()), critics)

    def future(self, t: Transitions, action: Float[Tensor, "N A"]) -> Float[Tensor, " N"]:
        """min_i Q'_i(s', ã) − β₂ ‖ã − a'‖², a' being the next action of the data."""
        distance = (action - t.next_action).square().sum(-1)
        return super().future(t, action) - self.config.critic_imitation * distance

    def actor_loss(self, t: Transitions) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """β₁ mean ‖π(s) − a‖² − λ mean Q, λ = 1 / mean |Q|; and the first term over β₁.

        Q = min_i Q_i(s, π(s)).
        """
        action = self.actor(t.observation)
        value = values_of(self.critics, t.observation, action).amin(0)
        size = weighted(value.detach().abs(), t.weight).clamp(min=SMALLEST_VALUE)
        imitation = weighted((action - t.action).square().sum(-1), t.weight)
        loss = self.config.actor_imitation * imitation - weighted(value, t.weight) / size
        return loss, imitation.detach()


def _begin(network: nn.Sequential, bound: float) -> None:
    """Weights before training, where they are not torch's own."""
    *hidden, last = (layer for layer in network if isinstance(layer, nn.Linear))
    for layer in hidden:
        nn.init.constant_(layer.bias, FIRST_BIAS)
    for parameter in last.parameters():
        nn.init.uniform_(parameter, -bound, bound)
