"""TD3+BC: offline RL without a model, on the labeled steps alone (Fujimoto & Gu 2021).

See ``networks.td3_bc`` for the equations. A window of one step makes a batch of transitions
drawn uniformly, as the authors draw them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus
from lawm_models.algorithms._protocol import LastStage, ModelSpec, RewardsFrom
from lawm_models.networks.encoders import ENCODERS, vectors
from lawm_models.networks.encoders._protocol import (
    EncoderChoice,
    Observation,
    require_no_weights,
)
from lawm_models.networks.layers import load_renamed
from lawm_models.networks.policies import ReactivePolicy
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.td3_bc import TD3BC, TD3BCConfig
from lawm_models.networks.transitions import every_step
from lawm_models.networks.world_model import standard_noise


class Config(TD3BCConfig):
    """TD3+BC on the labeled steps."""

    encoder: EncoderChoice = Field(default_factory=lambda: vectors.Config(scale="standard"))
    """How observations enter."""


class Algorithm(nn.Module):
    """See ``algorithms._protocol.Algorithm``."""

    stages: ClassVar[tuple[str, ...]] = ("agent",)
    last_stage: ClassVar[LastStage] = LastStage()
    needs_labels: ClassVar[bool] = True
    rewards_from: ClassVar[RewardsFrom] = "labeled"

    def __init__(self, config: Config, spec: ModelSpec) -> None:
        super().__init__()
        self.action_dim = spec.action.size
        self.scale = ActionScale.of(spec.action)
        parts = ENCODERS.load(config.encoder.name)
        self.encoder = parts.Encoder(config.encoder, spec.observations)
        require_no_weights(self.encoder, "TD3+BC")
        self.agent = TD3BC(config, self.encoder.dim, self.action_dim)
        load_renamed(self, "normalizer", "encoder.normalizer")

    def prepare(self, corpora: Sequence[Corpus]) -> None:
        """Observations are normalised over the steps that are learned from: the labeled ones."""
        self.encoder.fit(corpora, labeled=True)

    def begin(self, stage: str) -> None:
        """See the protocol; nothing to prepare."""

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """See the protocol."""
        return self.agent.optimizers

    def update(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """See the protocol; steps without observed action and recorded reward have no weight."""
        t = every_step(batch, self.encoder(Observation.of(batch)), self.scale)
        t = t._replace(weight=t.weight * t.observed * t.rewarded)
        return self.agent.update(t, standard_noise(t.action, generator, *t.action.shape))

    def policy(self, deterministic: bool = True) -> ReactivePolicy:
        """See the protocol."""
        return ReactivePolicy(self, next(self.parameters()), deterministic)

    def act(self, observation: Observation, noise: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Actions within the bounds; zero noise is the policy itself."""
        return self.scale.to_environment(self.agent.act(self.encoder(observation), noise))

    def infer_actions(self, batch: Batch) -> None:
        """None: what its policy prefers says nothing of what was done."""
