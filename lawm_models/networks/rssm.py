"""The recurrent state-space model: p(s'|s,a) and q(s'|s,a,o) with a GRU and Gaussian latents."""

from __future__ import annotations

import torch
from jaxtyping import Float
from lawm_schemas import Schema, Size
from pydantic import Field
from torch import Tensor, nn

from lawm_models.networks.distributions import Normal, split_normal
from lawm_models.networks.dynamics import Dynamics, State
from lawm_models.networks.layers import Linear, NormedGRUCell, NormedLinear, NormedSum


class RSSMConfig(Schema):
    """Sizes of the RSSM; the defaults are the paper's (Table 2)."""

    deter: Size = 512
    """D, deterministic state."""
    stoch: Size = 64
    """S, stochastic state."""
    hidden: Size = 640
    """Hidden units of the transition, prior and posterior."""
    min_std: float = Field(default=0.1, gt=0)
    """Smallest standard deviation of prior and posterior."""


class RSSM(Dynamics):
    """Gaussian RSSM (Hafner 2019a; sizes of the paper's Table 2).

    Args:
        config: sizes.
        action_dim: A.
        embed_dim: E, width of the observation embedding.
    """

    def __init__(self, config: RSSMConfig, action_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        self.input = NormedLinear(config.stoch + action_dim, config.hidden)
        self.cell = NormedGRUCell(config.hidden, config.deter)
        self.prior_net = nn.Sequential(
            NormedLinear(config.deter, config.hidden), Linear(config.hidden, 2 * config.stoch)
        )
        self.posterior_in = NormedSum(config.deter, embed_dim, config.hidden)
        self.posterior_out = Linear(config.hidden, 2 * config.stoch)

    @property
    def stoch_dim(self) -> int:
        """See ``Dynamics``."""
        return self.config.stoch

    @property
    def feature_dim(self) -> int:
        """See ``Dynamics``."""
        return self.config.deter + self.config.stoch

    def initial(self, batch: int, like: Tensor) -> State:
        """The zero state."""
        config = self.config
        return State(like.new_zeros(batch, config.deter), like.new_zeros(batch, config.stoch))

    def transition(self, state: State, action: Float[Tensor, "*b A"]) -> Float[Tensor, "*b D"]:
        """See ``Dynamics``."""
        return self.cell(self.input(torch.cat((state.stoch, action), -1)), state.deter)

    def prior(self, deter: Float[Tensor, "*b D"]) -> Normal:
        """See ``Dynamics``."""
        return split_normal(self.prior_net(deter), self.config.min_std)

    def project(self, embed: Float[Tensor, "*b E"]) -> Float[Tensor, "*b N"]:
        """The embedding's share of the posterior's first layer."""
        return self.posterior_in.project(embed)

    def posterior(self, deter: Float[Tensor, "*b D"], projected: Float[Tensor, "*b N"]) -> Normal:
        """See ``Dynamics``."""
        hidden = self.posterior_in(deter, projected)
        return split_normal(self.posterior_out(hidden), self.config.min_std)
