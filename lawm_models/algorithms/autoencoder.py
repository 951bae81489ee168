"""Autoencoder: learns what is observed in few numbers, without actions and rewards.

Its encoder is frozen afterwards: ``lawm-data features`` writes what it makes of every observation
beside the corpus, and all other algorithms learn from that as fast as from a state. It learns from
every frame, so also from videos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from lawm_schemas import Count, Role, Schema, Size
from pydantic import Field
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus
from lawm_models.algorithms._protocol import LastStage, ModelSpec, RewardsFrom
from lawm_models.networks.encoders import ENCODERS, vectors
from lawm_models.networks.encoders._protocol import EncoderChoice, Observation, Sizes
from lawm_models.networks.frozen_encoder import FrozenEncoder
from lawm_models.networks.offline.transitions import weighted
from lawm_models.networks.optimizer import adam, clip_and_step
from lawm_models.networks.world_model import state_weight


class Config(Schema):
    """Settings of the autoencoder."""

    encoder: EncoderChoice = Field(default_factory=vectors.Config)
    """Encoder and decoder."""
    latent: Size = 64
    """E, numbers that an observation becomes."""
    units: Size = 256
    """Hidden units of what is no convolution."""
    layers: Count = 1
    """Hidden layers of what is no convolution."""
    state_std: float = Field(default=1.0, gt=0)
    """Fixed std of p(state|latent), where a state is observed beside pixels."""
    foreground: float = Field(default=20.0, ge=0)
    """Pixels that are not as in the median picture weigh more: 1 + this · their difference from it.
    Else the thin parts of a body, few pixels of thousands, are learned last."""
    latent_weight: float = Field(default=1e-3, ge=0)
    """Weight of the mean square of the latents, which keeps them from growing."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Learning rate of Adam."""
    clip: float = Field(default=100.0, gt=0)
    """Gradient norm limit."""


SEEN_FOR_MEDIAN, FROM_EACH = 256, 8
"""Observations that the median picture is made of, and of one trajectory."""


class Algorithm(nn.Module):
    """See ``algorithms._protocol.Algorithm``."""

    stages: ClassVar[tuple[str, ...]] = ("encoder",)
    last_stage: ClassVar[LastStage] = LastStage()
    needs_labels: ClassVar[bool] = False
    rewards_from: ClassVar[RewardsFrom] = "none"
    median: Tensor

    def __init__(self, config: Config, spec: ModelSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.sizes = Sizes(config.latent, config.units, config.layers)
        parts = ENCODERS.load(config.encoder.name)
        self.encoder = parts.Encoder(config.encoder, spec.observations, self.sizes)
        self.decoder = parts.Decoder(
            config.encoder, spec.observations, config.latent, self.sizes, config.state_std
        )
        self.register_buffer("median", torch.zeros(self.encoder.target_dim))
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            "encoder": adam(self.parameters(), config.learning_rate)
        }

    def prepare(self, corpora: Sequence[Corpus]) -> None:
        """Look at some observations for the median picture."""
        self.encoder.fit(corpora)
        targets = [
            self.encoder.target(observation.map(lambda x: x.to(self.median.device)))
            for view in corpora
            for observation in _some(view, SEEN_FOR_MEDIAN // len(corpora) + 1)
        ]
        self.median.copy_(torch.cat(targets).median(0).values)

    def begin(self, stage: str) -> None:
        """See the protocol; nothing to prepare."""

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """See the protocol."""
        return self._optimizers

    @staticmethod
    def require_shareable(config: Config, processes: int) -> None:
        """See ``_protocol.Shareable``; all settings will do."""

    def update(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One gradient step on −log p(o | z) of every observation of the batch, as weighted."""
        observation = Observation.of(batch).map(lambda x: x.flatten(0, 1))
        latent, target = self.encoder(observation), self.encoder.target(observation)
        mean = self.decoder(latent)
        weight = torch.ones_like(target)
        pixels = slice(sum(s.size for s in self.spec.observations if s.role is Role.pixels))
        weight[:, pixels] += self.config.foreground * (target - self.median)[:, pixels].abs()
        # what is scaled by the root of the weight has its square error weighted
        root = weight.sqrt()
        nll = -self.decoder.log_prob(root * mean, root * target)
        real = state_weight(batch.valid).flatten()
        terms = nll + self.config.latent_weight * latent.square().sum(-1)
        loss = weighted(terms, real)
        norm = clip_and_step(self._optimizers["encoder"], loss, self.config.clip)
        error = weighted((mean.detach() - target).square().sum(-1), real)
        return {"loss": loss.detach(), "squared_error": error, "gradient_norm": norm.detach()}

    def frozen(self) -> FrozenEncoder:
        """A copy of the encoder, which learns no more."""
        frozen = FrozenEncoder(self.config.encoder, self.spec.observations, self.sizes)
        frozen.encoder.load_state_dict(self.encoder.state_dict())
        return frozen

    def infer_actions(self, batch: Batch) -> None:
        """None: it has never seen an action."""


def _some(view: Corpus, count: int) -> Iterator[Observation]:
    """About so many observations of a view, from trajectories all over it."""
    cameras = [spec.name for spec in view.manifest.observations if spec.role is Role.pixels]
    most = min(len(view), -(-count // FROM_EACH))
    for place in np.linspace(0, len(view) - 1, most).astype(int).tolist():
        seen = view[place].observations
        rows = np.linspace(0, len(seen.state) - 1, FROM_EACH).astype(int)
        images = {name: torch.from_numpy(seen[name][rows]) for name in cameras}
        yield Observation(torch.from_numpy(seen.state[rows]), images)
