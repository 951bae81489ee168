"""Encoders by name: one module of this folder, or of another package, is one encoder."""

from __future__ import annotations

from lawm_data.system.registry import Modules
from lawm_models.networks.encoders._protocol import EncoderChoice as EncoderChoice
from lawm_models.networks.encoders._protocol import EncoderConfig as EncoderConfig
from lawm_models.networks.encoders._protocol import EncoderModule as EncoderModule
from lawm_models.networks.encoders._protocol import Observation as Observation
from lawm_models.networks.encoders._protocol import Sizes as Sizes

ENCODERS = Modules[EncoderModule](
    "encoder", __name__, "lawm.encoders", {"Config": type, "Encoder": type, "Decoder": type}
)
"""Every encoder: how observations enter a model, and what of them is reconstructed."""
