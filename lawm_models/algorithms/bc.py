"""BC: behaviour cloning on the labeled steps alone, which every use of unlabeled data must beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from lawm_schemas import Count, Schema, Size
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus
from lawm_models.algorithms._protocol import LastStage, ModelSpec, RewardsFrom
from lawm_models.networks.distributions import HALF_LOG_TAU, Normal
from lawm_models.networks.encoders import ENCODERS, vectors
from lawm_models.networks.encoders._protocol import EncoderChoice, Observation
from lawm_models.networks.layers import MLP
from lawm_models.networks.optimizer import adam, clip_and_step
from lawm_models.networks.policies import ReactivePolicy
from lawm_models.networks.scaling import ActionScale

MIN_STD = 1e-3
"""Smallest standard deviation, as a share of half the action range."""


class Config(Schema):
    """Behaviour cloning; sizes are those of the paper's agents (Table 2)."""

    encoder: EncoderChoice = Field(default_factory=vectors.Config)
    """How observations enter."""
    units: Size = 256
    """Hidden units."""
    layers: Count = 3
    """Hidden layers, each Linear, LayerNorm, Swish."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Learning rate of Adam."""
    clip: float = Field(default=100.0, gt=0)
    """Gradient norm limit of each part."""


class Losses(NamedTuple):
    """The two terms; each has its own parameters."""

    action: Float[Tensor, ""]
    """Mean squared error of the mean, per step and dimension."""
    std: Float[Tensor, ""]
    """Gaussian negative log-likelihood of the residual, in nats per step and dimension."""


class Algorithm(nn.Module):
    """a ~ N(tanh f(o), σ(o)): f by squared error, σ by likelihood with parameters of its own.

    Args:
        config: sizes and step size.
        spec: arrays of the data.
    """

    stages: ClassVar[tuple[str, ...]] = ("agent",)
    last_stage: ClassVar[LastStage] = LastStage()
    needs_labels: ClassVar[bool] = True
    rewards_from: ClassVar[RewardsFrom] = "none"

    def __init__(self, config: Config, spec: ModelSpec) -> None:
        super().__init__()
        self.config = config
        self.action_dim = spec.action.size
        self.scale = ActionScale.of(spec.action)
        parts = ENCODERS.load(config.encoder.name)
        self.encoder = parts.Encoder(config.encoder, spec.observations)
        self.mean = MLP(self.encoder.dim, self.action_dim, config.units, config.layers)
        self.std = nn.Linear(self.encoder.dim, self.action_dim)
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            "mean": adam(
                [*self.encoder.parameters(), *self.mean.parameters()], config.learning_rate
            ),
            "std": adam(self.std.parameters(), config.learning_rate),
        }

    def forward(self, observation: Observation) -> Normal:
        """The density of the action taken at an observation, on the scale of [-1, 1]."""
        x = self.encoder(observation)
        return Normal(torch.tanh(self.mean(x)), F.softplus(self.std(x.detach())) + MIN_STD)

    def losses(self, batch: Batch) -> Losses:
        """Means over observed steps and dimensions; 0 when the batch has none."""
        observed = batch.action_mask
        density = self(_before_actions(batch))
        error = _masked(density.mean - self.scale.to_model(batch.action), observed)
        residual = error.detach() / density.std
        nll = _masked(0.5 * residual.square() + density.std.log() + HALF_LOG_TAU, observed)
        count = observed.sum().clamp(min=1) * self.action_dim
        return Losses(error.square().sum() / count, nll.sum() / count)

    def prepare(self, corpora: Sequence[Corpus]) -> None:
        """See the protocol."""
        self.encoder.fit(corpora, labeled=True)

    def begin(self, stage: str) -> None:
        """See the protocol; nothing to prepare."""

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """See the protocol."""
        return self._optimizers

    def update(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """See the protocol."""
        losses = self.losses(batch)
        norm = clip_and_step(self._optimizers["mean"], losses.action, self.config.clip)
        clip_and_step(self._optimizers["std"], losses.std, self.config.clip)
        terms = {name: term.detach() for name, term in losses._asdict().items()}
        return {**terms, "gradient_norm": norm.detach()}

    def policy(self, deterministic: bool = True) -> ReactivePolicy:
        """See the protocol."""
        return ReactivePolicy(self, self.std.weight, deterministic)

    @torch.no_grad()
    def infer_actions(self, batch: Batch) -> tuple[Float[Tensor, "B T A"], Float[Tensor, "B T A"]]:
        """What the clone would do at ``o_t``; unlike an inverse model it does not see o_{t+1}."""
        density = self(_before_actions(batch))
        return self.scale.to_environment(density.mean), density.std * self.scale.half_range

    def act(self, observation: Observation, noise: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Actions within the bounds for standard normal noise; zero noise gives the mean."""
        return self.scale.to_environment(self(observation).sample(noise))


def _before_actions(batch: Batch) -> Observation:
    """o_0 … o_{T-1}."""
    return Observation.of(batch).map(lambda x: x[:, :-1])


def _masked(value: Float[Tensor, "B T A"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T A"]:
    """Zero where the mask is False, whatever the value is, NaN included; no gradient from there."""
    return torch.where(mask[..., None], value, 0.0)
