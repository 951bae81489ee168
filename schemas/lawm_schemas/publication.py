"""``lawm.json`` of a published corpus: every file of the repository, with its checksum."""

from __future__ import annotations

from pydantic import Field, model_validator

from lawm_schemas.base import Schema

PUBLICATION_VERSION = 1
"""Version of ``lawm.json`` that this code writes; newer ones are refused."""


class PublishedFile(Schema):
    """One file of the repository."""

    path: str = Field(
        max_length=400, pattern=r"^[0-9A-Za-z][0-9A-Za-z_.-]*(/[0-9A-Za-z][0-9A-Za-z_.-]*)*$"
    )
    """Path in the repository; no part of it begins with a dot."""
    bytes: int = Field(ge=0)
    """Size of the file."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Checksum of the whole file."""


class PublishedShard(Schema):
    """Where labels are, so that a stream knows before it reads a shard."""

    file: str = Field(pattern=r"^[0-9A-Za-z_-]+\.h5$")
    """File name inside ``corpus/shards/``."""
    labeled: int = Field(ge=0)
    """Trajectories in it with every action observed."""
    masks: dict[str, int] = Field(default_factory=dict)
    """How many of them each mask beside the corpus shows."""


class Publication(Schema):
    """``lawm.json``: what a repository holds. It lists every file but itself."""

    format_version: int = Field(default=PUBLICATION_VERSION, ge=1, strict=True)
    """Version of this document."""
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Fingerprint of the corpus under ``corpus/``."""
    trajectories: int = Field(ge=0)
    """Trajectories in it."""
    mask: str | None = None
    """Mask that it was published through."""
    withheld: int = Field(default=0, ge=0)
    """Trajectories whose actions are recorded, but hidden by that mask."""
    kept: bool = False
    """Whether those actions are under ``corpus/`` all the same."""
    shards: tuple[PublishedShard, ...] = ()
    """The shards of the corpus, in order."""
    files: tuple[PublishedFile, ...]
    """Every other file of the repository."""

    @model_validator(mode="after")
    def _each_once(self) -> Publication:
        if len({file.path for file in self.files}) != len(self.files):
            raise ValueError("lists a file twice")
        return self
