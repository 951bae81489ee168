"""A set of features: what a frozen encoder makes of every observation, beside the corpus."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lawm_schemas.arrays import ArraySpec
from lawm_schemas.base import Checksummed


class FeatureSet(Checksummed):
    """``features/NAME/features.json``.

    The numbers are in ``features.h5`` beside it, and the weights of the encoder that made them in
    ``encoder.safetensors``, so that a policy that has learned from them can act.
    """

    name: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.-]{0,99}$")
    """Name of the features, of their folder, and of the state field that they are observed as."""
    corpus: str
    """Fingerprint of the corpus they belong to."""
    width: int = Field(ge=1)
    """Numbers for each observation."""
    observations: tuple[ArraySpec, ...] = Field(min_length=1)
    """What the encoder reads, in order."""
    encoder: dict[str, Any]
    """Which encoder, its settings and the sizes of its networks."""
    encoder_sha256: str
    """Checksum of ``encoder.safetensors``."""
    model: str
    """Hash of the weights that the encoder is from: of a run, or a file."""
    algorithm: str
    """Algorithm that trained it, or its architecture."""
    created: str
    """UTC date, ISO 8601."""
    trajectories: int = Field(ge=0)
    """How many have features: all."""
    sha256: str
    """Checksum of ``features.h5``."""
    probe: dict[str, float] = Field(default_factory=dict)
    """R² of each state field on held-out trajectories, as a network predicts it from the features
    of an observation and of the one before; nothing where no state was recorded."""
