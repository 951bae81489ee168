"""An encoder that learns no more: what features are made with, and what acts on new observations.

Its weights travel as a safetensors file beside the features, and in the runs that learn from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from lawm_schemas import ArraySpec, ConfigError, FeatureSet
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from lawm_models.networks.encoders import ENCODERS, EncoderModule
from lawm_models.networks.encoders._protocol import EncoderConfig, Observation, Sizes
from lawm_models.networks.pretrained import PRETRAINED
from lawm_models.networks.pretrained._protocol import Pretrained

OTHER_FILE = "make the features again (lawm-data features --replace)"
"""What to do about weights that do not fit."""


class FrozenEncoder(nn.Module):
    """Embeddings on one scale: z = (f(o) − mean) / scale, with one scale for all dimensions.

    Dimensions that tell little stay small, and none outgrows half precision.

    Args:
        config: the encoder's settings, or those of an architecture of ``networks.pretrained``.
        observations: what it reads, in order.
        sizes: of its networks; none for an architecture.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, config: EncoderConfig, observations: Sequence[ArraySpec], sizes: Sizes | None
    ) -> None:
        super().__init__()
        self.config, self.sizes = config, sizes
        self.observations = tuple(observations)
        self.encoder = _module(config.name).Encoder(config, observations, sizes)
        self.register_buffer("mean", torch.zeros(self.encoder.dim))
        self.register_buffer("scale", torch.ones(()))
        self.requires_grad_(False)

    @property
    def dim(self) -> int:
        """D, width of the features."""
        return self.encoder.dim

    @torch.no_grad()
    def forward(self, observation: Observation) -> Float[Tensor, "*b D"]:
        """The features of observations."""
        return (self.encoder(observation) - self.mean) / self.scale

    def facts(self) -> dict[str, Any]:
        """What ``read`` makes it from again, with its weights."""
        sizes = None if self.sizes is None else self.sizes._asdict()
        return {"config": self.config.model_dump(mode="json"), "sizes": sizes}

    def to_bytes(self) -> bytes:
        """Its weights as a safetensors file, which names the architecture if it is one.

        So that the checksum of the file is of both.
        """
        about = {"architecture": self.config.model_dump_json()} if self.sizes is None else None
        return save({k: v.contiguous() for k, v in self.state_dict().items()}, metadata=about)


def _module(name: str) -> EncoderModule | Pretrained:
    """An encoder or an architecture by its name."""
    return PRETRAINED.load(name) if name in PRETRAINED else ENCODERS.load(name)


def read(info: FeatureSet, weights: bytes, where: str) -> FrozenEncoder:
    """The encoder that has made features.

    Args:
        info: what the features say of themselves.
        weights: a safetensors file.
        where: the file, for messages.

    Raises:
        ConfigError: no such encoder, or weights that do not fit it.
    """
    facts: Mapping[str, Any] = info.encoder
    try:
        config = _module(facts["config"]["name"]).Config.parse(facts["config"], where)
        sizes = None if facts["sizes"] is None else Sizes(**facts["sizes"])
    except (KeyError, TypeError):
        raise ConfigError("say nothing of their encoder", where, OTHER_FILE) from None
    frozen = FrozenEncoder(config, info.observations, sizes)
    try:
        frozen.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError, ValueError):
        # torch lists every parameter in a message of many lines
        raise ConfigError("the weights do not fit the encoder", where, OTHER_FILE) from None
    if frozen.dim != info.width:
        what = f"the encoder makes {frozen.dim} numbers and the features have {info.width}"
        raise ConfigError(what, where, OTHER_FILE)
    return frozen
