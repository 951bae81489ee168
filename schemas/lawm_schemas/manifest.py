"""The corpus manifest (``corpus.json``): everything but the arrays and the per-trajectory table."""

from __future__ import annotations

import re

from pydantic import Field, model_validator

from lawm_schemas.arrays import ArraySpec, Role
from lawm_schemas.base import Checksummed, Schema
from lawm_schemas.provenance import EnvironmentInfo, LineageStep, Provenance

MANIFEST = "corpus.json"
"""File name of the manifest in a corpus."""
FORMAT_VERSION = 1
"""Version of the on-disk format that this code writes; newer ones are refused."""

SHARD_NAME = re.compile(r"[0-9A-Za-z_-]+\.h5")
"""What a shard may be called."""


class ShardInfo(Schema):
    """One immutable HDF5 file of trajectories."""

    file: str = Field(pattern=f"^{SHARD_NAME.pattern}$")
    """File name inside ``shards/``."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Checksum of the whole file."""
    bytes: int = Field(ge=0)
    """Size of the file."""
    trajectories: int = Field(ge=1)
    """Trajectories in it."""
    steps: int = Field(ge=1)
    """Steps in it (T summed, without final observations)."""


class Manifest(Checksummed):
    """``corpus.json``."""

    format_version: int = Field(default=FORMAT_VERSION, ge=1, strict=True)
    """Version of the on-disk format."""
    observations: tuple[ArraySpec, ...]
    """Arrays with T+1 rows: state, pixels and, when recorded, physics."""
    action: ArraySpec
    """The action array, T rows; bounds are enforced on writing."""
    environment: EnvironmentInfo | None = None
    """Where the policy can be evaluated."""
    shards: tuple[ShardInfo, ...] = ()
    """In the order in which they were committed."""
    provenance: tuple[Provenance, ...] = ()
    """Sources; the table of trajectories points into this list."""
    lineage: tuple[LineageStep, ...] = ()
    """Operations that made this corpus, oldest first."""
    licence: str | None = None
    """SPDX licence of the corpus as a whole."""
    fingerprint: str = Field(default="0" * 64, pattern=r"^[0-9a-f]{64}$")
    """Hash of the content: specs and trajectories in order; not of time, path or sharding."""

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if self.action.role is not Role.action:
            raise ValueError("the action array needs the role 'action'")
        names = [spec.name for spec in self.observations]
        if len(set(names)) != len(names):
            raise ValueError("two observation arrays have one name")
        if not any(spec.role in (Role.state, Role.pixels) for spec in self.observations):
            raise ValueError("a corpus needs at least one state or pixels array")
        return self

    @property
    def state(self) -> tuple[ArraySpec, ...]:
        """The state fields, in the order in which ``batch.observation`` concatenates them."""
        return tuple(spec for spec in self.observations if spec.role is Role.state)

    @property
    def state_dim(self) -> int:
        """O, the width of the concatenated state."""
        return sum(spec.size for spec in self.state)

    @property
    def trajectories(self) -> int:
        """Number of trajectories."""
        return sum(shard.trajectories for shard in self.shards)

    @property
    def steps(self) -> int:
        """Number of steps."""
        return sum(shard.steps for shard in self.shards)
