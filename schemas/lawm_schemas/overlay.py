"""A label overlay: actions written by a model, beside the corpus and never in it."""

from __future__ import annotations

from pydantic import Field

from lawm_schemas.base import Checksummed


class Overlay(Checksummed):
    """``labels/NAME/overlay.json``; the arrays are in ``labels/NAME/actions.h5``."""

    name: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.-]{0,99}$")
    """Name of the overlay and of its folder."""
    corpus: str
    """Fingerprint of the corpus it belongs to."""
    mask: str | None = None
    """Name of the mask the model was trained under."""
    mask_sha256: str | None = None
    """Hash of that mask's labeled ids."""
    model: str
    """Hash of the model's weights."""
    algorithm: str
    """Algorithm that made the labels."""
    method: str | None = None
    """How it inferred them: ``inverse`` or ``smoothing``."""
    max_uncertainty: float | None = None
    """Trajectories that were less certain than this were left out (root mean square of the stated
    std, in units of half the action's range)."""
    created: str
    """UTC date, ISO 8601."""
    trajectories: int = Field(ge=0)
    """How many trajectories have inferred actions."""
    sha256: str
    """Checksum of ``actions.h5``."""
    nmse_per_dimension: tuple[float, ...] | None = None
    """Mean squared error over the variance, per action dimension, where it is known and no secret;
    ``relabel`` writes none."""
    r2: float | None = None
    """1 - mean of ``nmse_per_dimension``."""
