"""C-LAP: latent actions from labeled windows alone (Alles et al. 2024, arXiv 2411.04562).

It is LAWM without what LAWM adds. There is no q(u|s,o'), so a window without actions cannot be
read: stage ``model`` maximises Eq. 7 + Eq. 11 on labeled windows. And p(u|s) is learned, so that in
stage ``agent`` the policy's support u = μ_p(s) + ε̃ · σ_p(s) · û moves with the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from lawm_schemas import ArraySpec, ConfigError
from pydantic import Field
from torch import Tensor

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus
from lawm_models.algorithms import lawm
from lawm_models.algorithms._protocol import RewardsFrom
from lawm_models.networks.distributions import Normal
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.latent_action import LearnedPriorConfig
from lawm_models.networks.latent_action_model import (
    Inferred,
    LatentActionModel,
    LatentActionModelConfig,
    Noise,
)
from lawm_models.networks.stacking import labeled_rows, windows
from lawm_models.networks.world_model import Generators


class ModelConfig(LatentActionModelConfig):
    """The world model; settings of the inverse posterior and of decoded actions mean nothing."""

    # narrower than its parent's, which is sound: settings do not change
    latent_action: LearnedPriorConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=LearnedPriorConfig
    )
    """The latent-action densities; the size of the inverse posterior means nothing."""
    inverse_supervision: float = Field(default=0.0, ge=0, le=0)
    """Always 0: there is no inverse posterior."""
    inverse_members: int = Field(default=1, ge=1, le=1)
    """Always 1, which is taken out."""


class Config(lawm.Config):
    """Settings of C-LAP; the defaults are those that it shares with LAWM (Table 2)."""

    # narrower than its parent's, which is sound: settings do not change
    model: ModelConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ModelConfig
    )
    """The world model."""


class Model(LatentActionModel):
    """The world model without the inverse posterior."""

    def __init__(
        self,
        config: ModelConfig,
        observations: Sequence[ArraySpec],
        action_dim: int,
        terminates: bool = False,
    ) -> None:
        super().__init__(config, observations, action_dim, terminates)
        del self.inverse

    def infer(
        self,
        observation: Observation,
        action: Float[Tensor, "*m B T A"],
        labeled: Float[Tensor, "*m B"],
        noise: Noise,
        valid: Bool[Tensor, "*m B T"] | None = None,
        first: int = 0,
    ) -> Inferred:
        """Roll the posterior over labeled windows, Eq. 3.

        Without the action nothing is known of u but p(u|s), which stands for the inverse posterior.
        """
        observed = self.world.observe(observation, action, noise.state)
        feature = observed.state.feature
        with torch.no_grad():
            unknown = self.prior(feature[..., :-1, :])
            decoded = self.decoder.density(feature[..., :-1, :], unknown.mean)
        return Inferred(observed, feature, unknown, decoded, feature[..., 1:, :0])

    def watched(
        self, inverse: Normal, told: Float[Tensor, "*m B T"], weight: Float[Tensor, "*m B T"]
    ) -> dict[str, Float[Tensor, "*m"]]:
        """Nothing: there is no q(u|s,o') whose latent action could collapse."""
        return {}


class Algorithm(lawm.Algorithm):
    """See ``algorithms._protocol.Algorithm``."""

    rewards_from: ClassVar[RewardsFrom] = "labeled"
    model_class: ClassVar[type[LatentActionModel]] = Model

    @staticmethod
    def require_shareable(config: lawm.Config, processes: int) -> None:
        """See ``_protocol.Shareable``.

        Raises:
            ConfigError: always: processes differ in the number of their labeled windows.
        """
        raise ConfigError("is trained by one process", "clap", "start it without torchrun")

    def prepare(self, corpora: Sequence[Corpus]) -> None:
        """See the protocol."""
        self.model.world.fit(corpora, labeled=True)

    def update(self, stage: str, batch: Batch, generator: Generators) -> dict[str, Tensor]:
        """One gradient step of a stage, on the labeled windows of the batch.

        Raises:
            ConfigError: there is none.
        """
        rows = labeled_rows(batch.labeled)
        if not rows.numel():
            what = "a batch without a labeled window, which is all that C-LAP can read"
            raise ConfigError(what, "labeled_ratio", "set it to 1")
        return super().update(stage, windows(batch, rows), generator)

    # Both return None where the parent returns a pair, which the protocol allows.
    def infer_actions(self, batch: Batch) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """None: without q(u|s,o') an action cannot be told from observations."""

    def smooth_actions(self, batch: Batch) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """None, as ``infer_actions``: what would be weighed comes from q(u|s,o')."""
