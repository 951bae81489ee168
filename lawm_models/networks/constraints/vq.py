"""VQ: a latent action is one of so many codes (van den Oord et al. 2017)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from lawm_schemas import Size
from pydantic import Field
from torch import Tensor, nn

from lawm_models.networks.constraints import _protocol
from lawm_models.networks.constraints._protocol import Constrained, ConstraintConfig, mean_of
from lawm_models.networks.data_parallel import whole
from lawm_models.networks.world_model import Generators

RATE = 0.01
"""Share of a new batch in the running use of each code."""


class Config(ConstraintConfig):
    """Settings of ``vq``."""

    # narrower than its parent's, which is sound: settings do not change
    name: Literal["vq"] = "vq"  # pyright: ignore[reportIncompatibleVariableOverride]
    """This constraint."""
    codes: Size = 64
    """K, codes."""
    commitment: float = Field(default=0.25, ge=0)
    """Weight of what pulls the inverse model towards the codes; the codes follow with weight 1."""
    reset_after: Size = 100
    """A code that no gradient step has chosen for so long becomes a random latent of the batch."""


class Constraint(_protocol.Constraint):
    """The code nearest to h, with a straight-through gradient.

    Codes begin as latents of the first batch, since all that were never chosen are replaced then.
    """

    idle: Tensor
    use: Tensor

    def __init__(self, config: Config, dim: int) -> None:
        super().__init__(config, dim)
        self.codes = config.codes
        self.codebook = nn.Parameter(torch.randn(config.codes, dim))
        self.register_buffer("idle", torch.full((config.codes,), config.reset_after - 1))
        self.register_buffer("use", torch.zeros(config.codes))

    def nearest(self, hidden: Float[Tensor, "*b D"]) -> Int[Tensor, "*b"]:
        """Index of the nearest code."""
        with torch.no_grad():
            return (
                torch.cdist(hidden.flatten(0, -2), self.codebook).argmin(-1).view(hidden.shape[:-1])
            )

    def forward(
        self,
        hidden: Float[Tensor, "N D"],
        weight: Float[Tensor, " N"],
        generator: Generators | None,
    ) -> Constrained:
        """See the protocol."""
        index = self.nearest(hidden)
        chosen = self.codebook[index]
        to_code = (chosen - hidden.detach()).square().sum(-1)
        to_hidden = (hidden - chosen.detach()).square().sum(-1)
        loss = mean_of(to_code + self.config.commitment * to_hidden, weight)
        latent = hidden + (chosen - hidden).detach()
        self._count(index, hidden.detach(), weight, generator)
        share = self.use / self.use.sum().clamp(min=1e-12)
        perplexity = (-(share * (share + 1e-12).log()).sum()).exp()
        used = (self.idle < self.config.reset_after).sum()
        return Constrained(latent, loss, {"codes": used, "perplexity": perplexity})

    @torch.no_grad()
    def _count(
        self,
        index: Int[Tensor, " N"],
        hidden: Float[Tensor, "N D"],
        weight: Float[Tensor, " N"],
        generator: Generators | None,
    ) -> None:
        """Who was chosen, and new places for those that were not for long."""
        assert generator is None or isinstance(generator, torch.Generator)
        index, hidden, weight = whole(index), whole(hidden), whole(weight)
        counts = torch.zeros_like(self.use).index_add_(0, index, weight)
        self.use.lerp_(counts / weight.sum().clamp(min=1), RATE)
        self.idle.copy_(torch.where(counts > 0, 0, self.idle + 1))
        forgotten = (self.idle > 0) & (self.idle % self.config.reset_after == 0)
        # a row without weight is never drawn, unless there is nothing else
        rows = torch.multinomial(weight + 1e-30, len(counts), True, generator=generator)
        taken = (forgotten & (weight.sum() > 0)).unsqueeze(-1)
        self.codebook.copy_(torch.where(taken, hidden[rows], self.codebook))

    def latent(self, hidden: Float[Tensor, "*b D"]) -> Float[Tensor, "*b D"]:
        """The nearest code."""
        return self.codebook[self.nearest(hidden)]

    def code(self, latent: Float[Tensor, "*b D"]) -> Int[Tensor, "*b"]:
        """Its place in the codebook."""
        return self.nearest(latent)

    def prior_sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "N D"]:
        """Codes, as often as they come in the data."""
        return self.codebook[torch.multinomial(self.use + 1e-12, count, True, generator=generator)]
