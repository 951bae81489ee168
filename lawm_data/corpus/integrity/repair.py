"""Restoring what can be restored of a damaged corpus, without touching what is sound."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from lawm_schemas import (
    MANIFEST,
    CorpusError,
    LineageStep,
    Manifest,
    Provenance,
    ShardInfo,
    StorageError,
)

from lawm_data.corpus.commit import merge, to_parts
from lawm_data.corpus.encode import write_shard
from lawm_data.corpus.integrity.damage import kept, original
from lawm_data.corpus.integrity.repair_plan import Repair, owner_of, plan_repair
from lawm_data.corpus.integrity.restrict import restrict_labels, write_mask
from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.layout import Layout, layout_of
from lawm_data.corpus.leftovers import leftovers
from lawm_data.corpus.shard import open_shard
from lawm_data.corpus.store import SHARDS
from lawm_data.system.atomic import (
    REPLACED,
    WriterLock,
    storage_errors,
    sync_folder,
    temporary_name,
    write_file,
)
from lawm_data.system.output import new_output, refuse_inside, remove

BACKUP = "backup-"
"""Folders of damaged files inside a corpus: ``backup-1`` and so on."""
UNKNOWN = Provenance(source="unknown")
"""Source of trajectories whose own cannot be told any more."""


def repair(
    path: str | Path, out: str | Path | None = None, like: str | Path | None = None
) -> Repair:
    """Restore what can be restored.

    Every trajectory is proved by its hash. New shards come first, then the manifest changes in one
    step, then masks and overlays follow: a repair that was killed is finished by another one.
    Damaged files are kept in a folder ``backup-N`` of the corpus.

    Args:
        path: folder of the corpus.
        out: write the repaired corpus here and leave this one as it is.
        like: see ``plan_repair``.

    Raises:
        CorpusError: nothing can be restored.
        StorageError: the file system refused, or somebody else is writing to the corpus.
    """
    path = Path(path)
    if out is not None:
        return _repair_copy(path, Path(out), like)
    planned = plan_repair(path, like)
    if not planned.changes:
        return planned
    lock = WriterLock(path)
    try:
        planned = _required(plan_repair(path, like))
        planned.backup = _keep_damaged(planned)
        _apply(planned)
    finally:
        lock.release()
    return planned


def _required(planned: Repair) -> Repair:
    """Refuse to make an empty corpus of one that was not."""
    if planned.lost and not planned.trajectories:
        what = f"nothing of it can be restored: {planned.lost[0].what}"
        raise CorpusError(what, str(planned.path), "restore it from a copy")
    return planned


def _repair_copy(path: Path, out: Path, like: str | Path | None) -> Repair:
    if out.exists():
        raise StorageError("something is already there", str(out), "choose another place")
    refuse_inside(out)
    planned = _required(plan_repair(path, like))
    with new_output(out) as copy:
        shutil.copytree(path, copy, ignore=shutil.ignore_patterns(".lock", f"{BACKUP}*"))
        _apply(plan_repair(copy, like))
    return planned


def _keep_damaged(repair: Repair) -> Path | None:
    """Keep what is about to be replaced or removed, except leftovers of writers."""
    sources = [repair.path / MANIFEST, *repair.masks, *repair.overlays]
    sources += [
        repair.path / SHARDS / piece.file
        for piece in repair.pieces
        if piece.restored or piece.info is None
    ]
    sources += [entry for entry in repair.leftovers if entry.suffix == ".h5"]
    number = 1
    while (repair.path / f"{BACKUP}{number}").exists():
        number += 1
    backup = repair.path / f"{BACKUP}{number}"
    temporary = temporary_name(backup)
    with storage_errors(backup):
        for source in sources:
            target = temporary / source.relative_to(repair.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            elif source.suffix == ".h5" and source.exists():
                _link(source, target)
            elif source.exists():
                shutil.copy2(source, target)
        temporary.rename(backup)
        sync_folder(repair.path)
    return backup


def _link(source: Path, target: Path) -> None:
    """A second name; shards are only ever replaced, never changed."""
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


def _apply(repair: Repair) -> None:
    path, layout = repair.path, layout_of(repair.manifest)
    infos = list(_write_shards(repair, layout))
    manifest = _new_manifest(repair, infos)
    if (path / MANIFEST).is_dir():
        remove(path / MANIFEST)
    if not repair.found or manifest != repair.manifest:
        write_file(path / MANIFEST, manifest.to_json().encode())
    for file, mask in repair.masks.items():
        remove(file) if mask is None else write_mask(file, mask)
    there = {name.decode() for piece in repair.pieces for name in piece.ids}
    for folder, labels in repair.overlays.items():
        if labels is None:
            remove(folder)
        else:
            restrict_labels(folder, labels, there, repair.fingerprint)
    wrong = [f for f in validate(path) if f.severity == "error"]
    if wrong:
        hint = f"look into {repair.backup}" if repair.backup else "the original is untouched"
        raise CorpusError(f"still wrong after the repair: {wrong[0].what}", wrong[0].where, hint)
    for entry in leftovers(path, manifest):
        if entry.name.endswith(REPLACED) and not owner_of(entry).exists():
            entry.rename(owner_of(entry))
        else:
            remove(entry)
    sync_folder(path)


def _write_shards(repair: Repair, layout: Layout) -> Iterator[ShardInfo]:
    """Write the shards that are not right as they are; what the manifest is to say of all."""
    folder, manifest, place = repair.path / SHARDS, repair.manifest, 0
    sources, about = len(manifest.provenance), _with_unknown(repair)
    for piece in repair.pieces:
        file = folder / piece.file
        if piece.restored:
            whole = original(file, layout, manifest)
            assert whole is not None
            write_file(file, whole.content)
            yield whole.info
        elif repair.is_rewritten(piece, place):
            if piece.info is None:
                parts = to_parts(kept(file, layout, sources)[0], place, layout.apart)
            else:
                parts = merge([open_shard(file, piece.info, layout, sources, True)], layout)
                moved = {"ordinal": np.arange(place, place + len(piece))}
                parts = parts._replace(columns={**parts.columns, **moved})
            yield write_shard(folder, parts, layout, about)
        elif piece.info is not None:
            yield piece.info
        place += len(piece)


def _with_unknown(repair: Repair) -> Manifest:
    """The manifest with a source for trajectories that have lost theirs."""
    if not any(piece.sourceless for piece in repair.pieces):
        return repair.manifest
    sources = (*repair.manifest.provenance, UNKNOWN)
    return repair.manifest.model_copy(update={"provenance": sources})


def _new_manifest(repair: Repair, infos: list[ShardInfo]) -> Manifest:
    update: dict[str, object] = {"shards": tuple(infos), "fingerprint": repair.fingerprint}
    if repair.lost or repair.unproven:
        settings = {
            "fingerprint": repair.fingerprint,
            "lost": len(repair.lost),
            "unproven": repair.unproven,
        }
        parents = (repair.manifest.fingerprint,) if repair.found else ()
        step = LineageStep(operation="repair", parents=parents, settings=settings)
        update["lineage"] = (*repair.manifest.lineage, step)
    return _with_unknown(repair).model_copy(update=update)
