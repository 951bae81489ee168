"""Nested: of every latent action a prefix of random length is kept (nested dropout, FlexLAM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from lawm_schemas import Count
from torch import Tensor

from lawm_models.networks.constraints import _protocol
from lawm_models.networks.constraints._protocol import Constrained, ConstraintConfig
from lawm_models.networks.data_parallel import number, part
from lawm_models.networks.world_model import Generators


class Config(ConstraintConfig):
    """Settings of ``nested``."""

    # narrower than its parent's, which is sound: settings do not change
    name: Literal["nested"] = "nested"  # pyright: ignore[reportIncompatibleVariableOverride]
    """This constraint."""
    shortest: Count = 1
    """Dimensions that are always kept."""
    kept: Count | None = None
    """Dimensions that are kept once it is trained; none for all. The first say most."""


class Constraint(_protocol.Sampled):
    """z = h with zeros behind a prefix, whose length is drawn for every latent action.

    What comes first must do alone, so that a latent action can be cut to any length afterwards.
    """

    def forward(
        self,
        hidden: Float[Tensor, "*m N D"],
        weight: Float[Tensor, "*m N"],
        generator: Generators | None,
    ) -> Constrained:
        """See the protocol."""
        self.remembered.add(self.latent(hidden), weight)
        length = self._lengths(hidden.shape[-2], hidden, generator)
        latent = torch.where(self._places(hidden) < length.unsqueeze(-1), hidden, 0.0)
        return Constrained(latent, torch.zeros_like(weight[..., 0]), {})

    def _lengths(self, count: int, like: Tensor, generator: Generators | None) -> Tensor:
        """Of ``shortest`` to D, all as likely."""
        if isinstance(generator, Sequence):
            return torch.stack([self._lengths(count, like, each) for each in generator])
        first = min(self.config.shortest, self.dim)
        size = (number(count),)
        drawn = torch.randint(first, self.dim + 1, size, generator=generator, device=like.device)
        return part(drawn)

    def _places(self, like: Tensor) -> Tensor:
        return torch.arange(self.dim, device=like.device)

    def latent(self, hidden: Float[Tensor, "*b D"]) -> Float[Tensor, "*b D"]:
        """As long as ``kept`` says."""
        kept = self.config.kept
        return hidden if kept is None else torch.where(self._places(hidden) < kept, hidden, 0.0)
