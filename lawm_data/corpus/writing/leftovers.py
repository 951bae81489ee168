"""What is found in a folder before a writer starts its work there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from pathlib import Path

from lawm_schemas import MANIFEST, Manifest, StorageError

from lawm_data.corpus.features import FEATURES, PARTS
from lawm_data.corpus.latents import LATENTS
from lawm_data.corpus.mask import MASKS
from lawm_data.corpus.overlay import LABELS
from lawm_data.corpus.store import SHARDS
from lawm_data.system.atomic import REPLACED, TEMPORARY, is_alive, storage_errors, sync_folder
from lawm_data.system.output import abandoned, remove, remove_beside

_OWN_SHARD = re.compile(r"[0-9a-f]{32}\.h5")


def refuse_existing(path: Path) -> None:
    """Refuse to start a corpus in a folder that holds one, or anything else.

    Raises:
        StorageError: names what is there.
    """
    if (path / MANIFEST).exists():
        hint = "choose another place, or append to it"
        raise StorageError("a corpus is already there", str(path), hint)
    others = _kept(path)
    if others == [SHARDS]:
        what, hint = "holds shards whose corpus.json is lost", "let lawm-data repair make it again"
        raise StorageError(what, str(path), f"{hint}, or choose another place")
    if others:
        raise StorageError(f"the folder is not empty ({others[0]})", str(path), "choose another")


def is_barely_begun(path: Path) -> bool:
    """Whether a folder holds no more than what a writer leaves that was killed at its start."""
    return path.is_dir() and not _kept(path)


def _kept(path: Path) -> list[str]:
    """Names of what is in a folder and no writer has left at its start; sorted."""
    with storage_errors(path):
        names = {entry.name for entry in path.iterdir()} - {".lock"}
        shards = path / SHARDS
        if shards.is_dir() and all(e.name.startswith(TEMPORARY) for e in shards.iterdir()):
            names.discard(SHARDS)
    return sorted(name for name in names if not name.startswith(TEMPORARY))


def leftovers(path: Path, manifest: Manifest) -> list[Path]:
    """What dead writers left: temporary names, what gave way, begun features, no shards."""
    known = {shard.file for shard in manifest.shards}
    found = []
    with storage_errors(path):
        for name in ("", SHARDS, MASKS, LABELS, FEATURES, LATENTS):
            folder = path / name
            # what a link leads to may be part of something else
            listed = folder.is_dir() and not (name and folder.is_symlink())
            for entry in sorted(folder.iterdir()) if listed else []:
                temporary = entry.name.startswith(TEMPORARY)
                beside = name in (LABELS, FEATURES, LATENTS)
                replaced = beside and entry.name.endswith((REPLACED, PARTS))
                # a folder in shards/ is nobody's leftover: somebody may have put it there
                shard = name == SHARDS and entry.name not in known and not entry.is_dir()
                if temporary or replaced or shard:
                    found.append(entry)
    return found


def dead_leftovers(path: Path, manifest: Manifest) -> list[Path]:
    """What dead writers left in a corpus and beside it; nothing of one that may still be at work.

    Their numbers tell, so this is for people: who removes something holds the lock.
    """
    writer, lock = "", path / ".lock"
    with contextlib.suppress(OSError, ValueError):
        if lock.is_file() and lock.stat().st_size < 64:  # a pipe or a device has no end
            writer = lock.read_text(encoding="ascii").strip()
    busy = writer.isdecimal() and is_alive(int(writer))
    return [*([] if busy else leftovers(path, manifest)), *abandoned(path.absolute())]


def is_a_writers(entry: Path, path: Path, known: Collection[str]) -> bool:
    """Whether something in a corpus is a dead writer's for sure, so that the next one removes it.

    Args:
        entry: the thing.
        path: the corpus.
        known: its shards; others that are named like shards were never committed.
    """
    if entry.parent not in (path, path / SHARDS):
        return False
    like_a_shard = _OWN_SHARD.fullmatch(entry.name) and not entry.is_dir()
    return entry.name.startswith(TEMPORARY) or bool(like_a_shard and entry.name not in known)


def remove_leftovers(path: Path, manifest: Manifest) -> None:
    """Remove what a dead writer left in a corpus, see ``is_a_writers``, and beside it."""
    remove_beside(path)
    known = {shard.file for shard in manifest.shards}
    with storage_errors(path):
        for folder in (path, path / SHARDS):
            if folder != path and folder.is_symlink():
                continue  # what it leads to may be part of something else
            stale = [entry for entry in folder.iterdir() if is_a_writers(entry, path, known)]
            for entry in stale:
                remove(entry)
            if stale:
                sync_folder(folder)
