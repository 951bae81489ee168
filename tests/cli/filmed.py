"""Autoencoder: observations through a narrow layer and back; no action, reward or policy."""

import torch
from lawm_schemas import Schema
from pydantic import Field

from lawm_models.algorithms import LastStage
from lawm_models.networks.encoders import ENCODERS, EncoderChoice, Observation, Sizes, vectors
from lawm_models.networks.optimizer import adam, clip_and_step
from lawm_models.networks.world_model import state_weight, weighted_mean

PRESETS = {"demo": {"steps": {"model": 30}, "labeled_ratio": None, "settings": {}}}


class Config(Schema):
    """Its sizes."""

    encoder: EncoderChoice = Field(default_factory=vectors.Config)
    embed: int = Field(default=2, ge=1)
    rate: float = Field(default=1e-2, gt=0)


class Algorithm(torch.nn.Module):
    """See ``lawm_models.algorithms.Algorithm``."""

    stages = ("model",)
    last_stage = LastStage()
    needs_labels = False
    rewards_from = "none"

    def __init__(self, config, spec):
        super().__init__()
        parts, sizes = ENCODERS.load(config.encoder.name), Sizes(config.embed, units=8, layers=1)
        self.encoder = parts.Encoder(config.encoder, spec.observations, sizes)
        self.decoder = parts.Decoder(
            config.encoder, spec.observations, self.encoder.dim, sizes, std=1.0
        )
        self.adam = adam(self.parameters(), config.rate)

    def update(self, stage, batch, generator):
        seen = Observation.of(batch)
        nll = -self.decoder.log_prob(self.decoder(self.encoder(seen)), self.encoder.target(seen))
        loss = weighted_mean(nll, state_weight(batch.valid))
        clip_and_step(self.adam, loss, clip=100.0)
        return {"loss": loss.detach()}

    def optimizers(self):
        return {"adam": self.adam}

    def prepare(self, corpora):
        self.encoder.fit(corpora)

    def begin(self, stage): ...

    def infer_actions(self, batch): ...
