"""What is found in a folder before a writer starts its work there."""

from __future__ import annotations

import re
from pathlib import Path

from lawm_schemas import Manifest, StorageError

from lawm_data.atomic import TEMPORARY, storage_errors, sync_folder
from lawm_data.store import MANIFEST, SHARDS

_OWN_SHARD = re.compile(r"[0-9a-f]{32}\.h5")


def refuse_existing(path: Path) -> None:
    """Refuse to start a corpus in a folder that holds one, or anything else.

    Raises:
        StorageError: names what is there.
    """
    if (path / MANIFEST).exists():
        mend = "choose another place, or append to it"
        raise StorageError("a corpus is already there", str(path), mend)
    with storage_errors(path):
        others = sorted(
            entry.name
            for entry in path.iterdir()
            if entry.name not in (".lock", SHARDS) and not entry.name.startswith(TEMPORARY)
        )
    if others:
        raise StorageError(f"the folder is not empty ({others[0]})", str(path), "choose another")


def remove_leftovers(path: Path, manifest: Manifest) -> None:
    """Remove what a dead writer left: temporary files, and shards that were never committed."""
    known = {shard.file for shard in manifest.shards}
    with storage_errors(path):
        for folder in (path, path / SHARDS):
            stale = [
                entry
                for entry in folder.iterdir()
                if entry.name.startswith(TEMPORARY)
                or (_OWN_SHARD.fullmatch(entry.name) and entry.name not in known)
            ]
            for entry in stale:
                entry.unlink()
            if stale:
                sync_folder(folder)
