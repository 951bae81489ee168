"""FLAM: latent actions of K factors, one for each of the slots that share an observation.

After "Factored Latent Action World Models" (2026, arXiv 2602.16229), on states or features, of the
parts of ``lam``: the tokens that slots compete for are the numbers of an observation.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lawm_models.algorithms import lam
from lawm_models.networks.lam.factored_model import FactoredConfig, FactoredModel
from lawm_models.networks.lam.latent_transition_model import LatentTransitionModel


class Config(lam.Config):
    """Settings of FLAM."""

    # narrower than its parent's, which is sound: settings do not change
    model: FactoredConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=FactoredConfig
    )
    """Slots, and the constraint on the latent action of each."""


class Algorithm(lam.Algorithm):
    """See ``algorithms._protocol.Algorithm``; ``model`` and ``controller`` are for planners."""

    name: ClassVar[str] = "flam"
    model_class: ClassVar[type[LatentTransitionModel]] = FactoredModel
