"""What a repair of a damaged corpus would do, found out without writing anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import MANIFEST, CorpusError, LawmError, Manifest, Mask, MaskError, ShardInfo

from lawm_data.corpus.fingerprint import fingerprint_of
from lawm_data.corpus.integrity.damage import Loss, ShardReport, describe, examine
from lawm_data.corpus.integrity.restrict import read_labels, restricted_mask
from lawm_data.corpus.integrity.salvage import DamagedShard, manifest_in
from lawm_data.corpus.layout import Layout, layout_of
from lawm_data.corpus.leftovers import leftovers
from lawm_data.corpus.mask import MASKS, mask_files, read_mask
from lawm_data.corpus.overlay import LABELS, Labels, overlay_names
from lawm_data.corpus.store import SHARDS, UPGRADE, read_manifest
from lawm_data.system.atomic import REPLACED


class Change(NamedTuple):
    """Something that a repair does."""

    where: str
    what: str


@dataclass
class Repair:
    """What a repair is about to do, or has done."""

    path: Path
    manifest: Manifest
    """As it is, or as the shards have it; its shards are those that are there."""
    found: bool
    """Whether the manifest could be read."""
    pieces: list[ShardReport]
    fingerprint: str = ""
    """Of what is kept."""
    changes: list[Change] = field(default_factory=list)
    """Nothing, when the corpus is sound."""
    lost: list[Loss] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    """Shards whose ids, sources, seeds and metadata were kept, though no hash covers them."""
    masks: dict[Path, Mask | None] = field(default_factory=dict)
    """What mask files become; None is set aside."""
    overlays: dict[Path, Labels | None] = field(default_factory=dict)
    """Overlays that are restricted; None is set aside."""
    leftovers: list[Path] = field(default_factory=list)
    backup: Path | None = None
    """Where the damaged files are kept."""

    @property
    def trajectories(self) -> int:
        """How many are kept."""
        return sum(map(len, self.pieces))

    def change(self, where: Path | str, what: str) -> None:
        """Note something to do."""
        self.changes.append(Change(str(where), what))

    def is_rewritten(self, piece: ShardReport, first: int) -> bool:
        """Whether a shard is written anew, given the place of its first trajectory."""
        return (
            len(piece) > 0 and not piece.restored and (piece.info is None or piece.first != first)
        )


def plan_repair(path: str | Path, like: str | Path | None = None) -> Repair:
    """Find out what a repair would do; reads everything, writes nothing.

    Args:
        path: folder of the corpus.
        like: a corpus of the same arrays, to take their specs from when the manifest is lost and
            the shards keep no copy of it.

    Raises:
        CorpusError: nothing says what the arrays of the shards are.
        StorageError: the file system refused.
    """
    path = Path(path)
    manifest, found = _manifest(path, like)
    layout = layout_of(manifest)
    pieces = [examine(path, info, layout, manifest) for info in manifest.shards]
    places = [piece.first for piece in pieces]
    if -1 not in places and places != sorted(places):
        pieces.sort(key=lambda piece: piece.first)
    repair = Repair(path, manifest, found, pieces)
    _plan_shards(repair)
    ids = np.array([name for piece in pieces for name in piece.ids] or [b""], "S")
    digest = b"".join(part for piece in pieces for part in piece.digest)
    rows = np.frombuffer(digest, np.uint8).reshape(-1, 32)
    repair.fingerprint = fingerprint_of(manifest, ids[: len(rows)], rows)
    if found and repair.fingerprint != manifest.fingerprint:
        repair.change(path / MANIFEST, "gets the fingerprint of what is there")
    elif not found:
        repair.change(path / MANIFEST, "is made again from the shards")
    _plan_masks(repair)
    _plan_overlays(repair)
    for entry in leftovers(path, manifest):
        lost_overlay = entry.name.endswith(REPLACED) and not owner_of(entry).exists()
        repair.leftovers.append(entry)
        repair.change(entry, "gets its name back" if lost_overlay else "is left over: removed")
    return repair


def _manifest(path: Path, like: str | Path | None) -> tuple[Manifest, bool]:
    """The manifest, or one made from the shards; whether it could be read."""
    try:
        return read_manifest(path), True
    except CorpusError as error:
        if error.hint == UPGRADE:  # not damaged, only not understood
            raise
        files = sorted((path / SHARDS).glob("*.h5")) if (path / SHARDS).is_dir() else []
        if not files:
            raise
    copies = [copy for copy in map(manifest_in, files) if copy is not None]
    if copies:
        base = max(copies, key=lambda copy: len(copy.provenance))
    elif like is not None:
        base = read_manifest(Path(like)).model_copy(update={"lineage": (), "licence": None})
    else:
        what = "is lost, and the shards were written before they kept a copy of it"
        hint = "give a corpus with the same arrays (--like)"
        raise CorpusError(what, str(path / MANIFEST), hint)
    return base.model_copy(update={"shards": tuple(_shards(files, layout_of(base)))}), False


def _shards(files: list[Path], layout: Layout) -> Iterator[ShardInfo]:
    """The files that make up the corpus, in order; those merged into others are left out."""
    found = []
    for file in files:
        try:
            remains = DamagedShard(file, layout)
        except CorpusError:
            continue
        steps = max(1, remains.counts[1])
        size = file.stat().st_size
        unsure = ShardInfo(
            file=file.name, sha256="0" * 64, bytes=size, trajectories=len(remains), steps=steps
        )
        found.append((remains.first, -len(remains), describe(file, layout) or unsure))
    end = 0
    for first, count, info in sorted(found, key=lambda entry: entry[:2]):
        if first >= end:
            yield info
            end = first - count


def _plan_shards(repair: Repair) -> None:
    place, listed = 0, {info.file: info for info in repair.manifest.shards}
    for piece in repair.pieces:
        file = repair.path / SHARDS / piece.file
        repair.lost += piece.lost
        if piece.restored:
            repair.change(file, "is restored, byte for byte")
        elif piece.info is None:
            kept_ones = f"{len(piece)} of {len(piece) + len(piece.lost)} trajectories"
            repair.change(file, f"is damaged: {kept_ones} are sound and go into a new shard")
            repair.unproven += [piece.file] * bool(len(piece))
        elif repair.is_rewritten(piece, place):
            repair.change(file, "is sound: written anew, its trajectories have moved up")
        elif piece.info != listed[piece.file]:
            repair.change(file, "is sound: what the manifest says of it is corrected")
        place += len(piece)
    if [piece.file for piece in repair.pieces] != list(listed):
        repair.change(repair.path / MANIFEST, "lists the shards in their order again")


def _parents(repair: Repair) -> set[str]:
    """Fingerprints whose masks and overlays are those of what is kept."""
    known = {repair.fingerprint}
    if repair.found:
        known.add(repair.manifest.fingerprint)
    for step in repair.manifest.lineage[-1:]:
        # A repair that was killed after it had changed the manifest.
        if step.operation == "repair" and step.settings.get("fingerprint") == repair.fingerprint:
            known.update(step.parents)
    return known


def _plan_file(repair: Repair, name: str, plans: dict[Path, Any]) -> None:
    """Set aside a file that stands where a folder should be."""
    place = repair.path / name
    if place.exists() and not place.is_dir():
        plans[place] = None
        repair.change(place, f"is a file, not the folder of {name}: set aside")


def _plan_masks(repair: Repair) -> None:
    complete = {
        name.decode()
        for piece in repair.pieces
        for name, whole in zip(piece.ids, piece.complete, strict=True)
        if whole
    }
    _plan_file(repair, MASKS, repair.masks)
    for file in mask_files(repair.path):
        try:
            mask = read_mask(file)
            if mask.corpus not in _parents(repair):
                continue
            new = restricted_mask(file, complete, repair.fingerprint)
        except MaskError as error:
            repair.masks[file] = None
            repair.change(file, f"{error.what}: set aside")
            continue
        if new == mask:
            continue
        repair.masks[file] = new
        left = 0 if new is None else len(new.labeled)
        said = f"keeps {left} of {len(mask.labeled)} labeled trajectories"
        repair.change(file, said if new else f"{said}: set aside")


def _plan_overlays(repair: Repair) -> None:
    there = {name.decode() for piece in repair.pieces for name in piece.ids}
    _plan_file(repair, LABELS, repair.overlays)
    for name in overlay_names(repair.path):
        folder = repair.path / LABELS / name
        try:
            labels = read_labels(folder, repair.manifest.action.size)
        except LawmError as error:
            repair.overlays[folder] = None
            repair.change(folder, f"{error.what}: set aside")
            continue
        names = set(labels.ids.astype("U").tolist())
        current = labels.info.corpus == repair.fingerprint
        if labels.info.corpus not in _parents(repair) or (current and names <= there):
            continue
        repair.overlays[folder] = labels
        repair.change(folder, f"keeps {len(names & there)} of {len(names)} trajectories")


def owner_of(entry: Path) -> Path:
    """The overlay that ``.NAME.replaced`` was."""
    return entry.with_name(entry.name.removeprefix(".").removesuffix(REPLACED))
