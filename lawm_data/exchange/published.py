"""Addresses on the Hugging Face Hub, ``hf://user/name@revision``, at the same door."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from lawm_schemas import ConfigError

from lawm_data.corpus import Corpus
from lawm_data.exchange.results import Exported, Imported

SCHEME = "hf://"


def is_published(address: str) -> bool:
    """Whether an address is one on the Hub."""
    return address.startswith(SCHEME)


def pull_corpus(
    address: str, out: str | Path, settings: Mapping[str, Any], dry_run: bool
) -> Imported:
    """Import from the Hub: the corpus as it was published.

    Raises:
        ConfigError: not an address, or something that does not go with one.
        RemoteError: there is no such corpus.
    """
    hub = _hub(address, settings)
    repo, _, revision = address.removeprefix(SCHEME).partition("@")
    if dry_run:
        raise ConfigError("does not go with the Hub", "--dry-run", "leave it out")
    pulled = hub.pull(repo, out, revision=revision or None)
    return Imported(
        path=Path(out),
        source=f"{SCHEME}{pulled.repo}@{pulled.revision}",
        trajectories=pulled.trajectories,
        steps=pulled.steps,
        fingerprint=pulled.fingerprint,
        masks=pulled.masks,
        overlays=pulled.overlays,
        said=(),
    )


def push_corpus(view: Corpus, address: str, settings: Mapping[str, Any], dry_run: bool) -> Exported:
    """Export to the Hub: what a mask hides is not published.

    Raises:
        ConfigError: not an address, or something that does not go with one.
        RemoteError: the repository holds something else, or the Hub refused.
    """
    repo, at, _ = address.removeprefix(SCHEME).partition("@")
    if at:
        raise ConfigError("a revision cannot be written to", address, f"write {SCHEME}{repo}")
    hub = _hub(address, settings)
    pushed = hub.push(view, repo, dry_run=dry_run)
    return Exported(
        path=None,
        address=f"{SCHEME}{pushed.repo}",
        trajectories=pushed.trajectories,
        steps=pushed.steps,
        masks=pushed.masks,
        said=pushed.left,
    )


def _hub(address: str, settings: Mapping[str, Any]) -> Any:
    for key in settings:
        raise ConfigError(f"no setting {key!r}", address, "the Hub has none")
    repo = address.removeprefix(SCHEME).partition("@")[0]
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise ConfigError("is not an address on the Hub", address, f"write {SCHEME}user/name")
    return import_module("lawm_data.hub")
