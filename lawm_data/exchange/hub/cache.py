"""Corpora of the Hub under an address: fetched once, kept by commit.

An address is ``hf://user/name`` or ``hf://user/name@REVISION``. Pinned, its revision is a commit:
then it means the same corpus for good, here and on another machine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from lawm_schemas import ConfigError, StorageError

from lawm_data.exchange.hub.pull import pull, require_commit
from lawm_data.exchange.hub.remote import COMMIT, REPO, Remote
from lawm_data.system.home import home_folder
from lawm_data.system.progress import Progress, silent

SCHEME = "hf://"
CACHE = "LAWM_CACHE"
"""Environment variable: folder of what is fetched; ``~/.cache/lawm`` by default."""


class HubAddress(NamedTuple):
    """``hf://user/name@revision``."""

    repo: str
    revision: str | None

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}" + (f"@{self.revision}" if self.revision else "")

    @property
    def is_pinned(self) -> bool:
        """Whether it names a commit."""
        return self.revision is not None and COMMIT.fullmatch(self.revision) is not None


def is_hub_address(path: str) -> bool:
    """Whether a path is an address on the Hub."""
    return path.startswith(SCHEME)


def parse_hub_address(text: str) -> HubAddress:
    """Parse an address.

    Raises:
        ConfigError: it is none.
    """
    repo, at, revision = text.removeprefix(SCHEME).partition("@")
    if not (is_hub_address(text) and REPO.fullmatch(repo)) or (at and not revision):
        raise ConfigError("is not an address on the Hub", text, f"write {SCHEME}user/name@revision")
    return HubAddress(repo, revision or None)


def pin(address: HubAddress, token: str | None = None) -> HubAddress:
    """The same with the commit that it means now; asks the Hub only when it must.

    Raises:
        RemoteError: no such repository or revision, or the Hub cannot be asked.
    """
    if address.is_pinned:
        return address
    return HubAddress(address.repo, require_commit(Remote(address.repo, token), address.revision))


def cached(address: HubAddress) -> Path:
    """Where the corpus of a pinned address is kept, whether it is there or not.

    Raises:
        ConfigError: that is below the home folder, and there is none.
    """
    root = os.environ.get(CACHE) or home_folder(CACHE) / ".cache" / "lawm"
    return Path(root).absolute() / "hub" / address.repo / str(address.revision)


def fetch(address: HubAddress, token: str | None = None, progress: Progress = silent) -> Path:
    """The folder of the corpus of a pinned address; pulled if it is not there.

    Raises:
        RemoteError: it cannot be pulled.
        StorageError: the disk refused.
    """
    path = cached(address)
    if not path.exists():
        try:
            pull(address.repo, path, revision=address.revision, token=token, progress=progress)
        except StorageError:
            if not path.exists():  # else another process was quicker
                raise
    return path


def located(path: str) -> Path:
    """The folder of a corpus by its path or pinned address; what is on the Hub is fetched.

    Raises:
        RemoteError: it cannot be pulled.
        StorageError: the disk refused.
    """
    return fetch(pin(parse_hub_address(path))) if is_hub_address(path) else Path(path)


def is_here(path: str) -> bool:
    """Whether there is something on this disk under a path or pinned address."""
    return (cached(parse_hub_address(path)) if is_hub_address(path) else Path(path)).exists()
