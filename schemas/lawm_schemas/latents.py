"""Latent actions: what a run inferred of every transition, beside a corpus and never in it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from lawm_schemas.base import Checksummed


class LatentSet(Checksummed):
    """``latents/NAME/latents.json``; the numbers are in ``latents/NAME/latents.h5``."""

    kind: Literal["latent actions"] = "latent actions"
    """They are no actions: nothing that takes actions takes them."""
    name: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.-]{0,99}$")
    """Name of the set and of its folder."""
    corpus: str
    """Fingerprint of the corpus it belongs to."""
    width: int = Field(ge=1)
    """D, numbers of a latent action."""
    codes: int | None = None
    """Size of the codebook that they are from, if there is one."""
    horizon: int = Field(default=1, ge=1)
    """k: each lies between an observation and the one k steps later."""
    constraint: dict[str, Any]
    """What they may say, by its name, with its settings."""
    run: str
    """Name of the run's folder."""
    model: str
    """Hash of its weights."""
    algorithm: str
    """What it is of."""
    observe: str
    """What it observes."""
    mask: str | None = None
    """Name of the mask that it was trained under, where it was trained on this corpus."""
    mask_sha256: str | None = None
    """Hash of that mask's labeled ids."""
    created: str
    """UTC date, ISO 8601."""
    trajectories: int = Field(ge=0)
    """How many have latent actions."""
    sha256: str
    """Checksum of ``latents.h5``."""

    @field_validator("constraint")
    @classmethod
    def _has_a_name(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(value.get("name"), str):
            raise ValueError("has no name")
        return value
