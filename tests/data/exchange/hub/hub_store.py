"""What the server of these tests holds: repositories as sets of files by commit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

ATTRIBUTES = b"*.h5 filter=lfs\n*.parquet filter=lfs\n*.png filter=lfs\n"


@dataclass(frozen=True)
class Blob:
    data: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()


@dataclass
class Repo:
    private: bool
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def put(self, files: dict[str, Blob]) -> str:
        self.head = hashlib.sha1(f"{len(self.commits)}{sorted(files)}".encode()).hexdigest()
        self.commits[self.head] = files
        return self.head

    def find(self, revision: str) -> str | None:
        commit = self.head if revision == "main" else self.tags.get(revision, revision)
        return commit if commit in self.commits else None

    @property
    def files(self) -> dict[str, Blob]:
        return self.commits[self.head]
