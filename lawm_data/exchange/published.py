"""Addresses on the Hugging Face Hub, ``hf://user/name@revision``, at the same door."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lawm_schemas import ConfigError

from lawm_data.corpus.corpus import Corpus
from lawm_data.exchange.address import Exported, Imported
from lawm_data.exchange.formats._protocol import Progress
from lawm_data.exchange.hub.cache import Address, parse_address
from lawm_data.exchange.hub.pull import pull
from lawm_data.exchange.hub.push import push


def pull_corpus(
    address: str, out: str | Path, settings: Mapping[str, Any], progress: Progress, dry_run: bool
) -> Imported:
    """Import from the Hub: the corpus as it was published.

    Raises:
        ConfigError: not an address, or something that does not go with one.
        RemoteError: there is no such corpus.
    """
    where = _parsed(address, settings)
    pulled = pull(where.repo, out, revision=where.revision, progress=progress, dry_run=dry_run)
    told = f"{pulled.files} files, {pulled.bytes / 1e6:.3g} MB, are to be downloaded"
    return Imported(
        path=Path(out),
        source=str(where._replace(revision=pulled.revision)),
        trajectories=pulled.trajectories,
        steps=pulled.steps,
        fingerprint=pulled.fingerprint,
        masks=pulled.masks,
        overlays=pulled.overlays,
        said=(told,) if dry_run else (),
    )


def push_corpus(
    view: Corpus, address: str, settings: Mapping[str, Any], progress: Progress, dry_run: bool
) -> Exported:
    """Export to the Hub: what a mask hides is not published.

    Raises:
        ConfigError: not an address, or something that does not go with one.
        RemoteError: the repository holds something else, or the Hub refused.
    """
    where = _parsed(address, settings)
    if where.revision is not None:
        whole = where._replace(revision=None)
        raise ConfigError("a revision cannot be written to", address, f"write {whole}")
    pushed = push(view, where.repo, progress=progress, dry_run=dry_run)
    return Exported(
        path=None,
        address=str(where),
        trajectories=pushed.trajectories,
        steps=pushed.steps,
        masks=pushed.masks,
        said=pushed.left,
    )


def _parsed(address: str, settings: Mapping[str, Any]) -> Address:
    where = parse_address(address)
    for key in settings:
        raise ConfigError(f"no setting {key!r}", address, "the Hub has none")
    return where
