"""Restoring what can be restored of a damaged corpus, without touching what is sound.

``plan_repair`` reads every file once and writes nothing; ``repair`` does the same under the lock
and carries out what it found.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import (
    MANIFEST,
    SHARD_NAME,
    CorpusError,
    LawmError,
    LineageStep,
    Manifest,
    Mask,
    MaskError,
    Provenance,
    ShardInfo,
)

from lawm_data.corpus.features import (
    ENCODER,
    FEATURES,
    Features,
    feature_names,
    read_feature_set,
    read_features,
    save_features,
)
from lawm_data.corpus.fingerprint import fingerprint_of
from lawm_data.corpus.integrity.salvage import (
    DamagedShard,
    Loss,
    ShardFile,
    ShardReport,
    actual_info,
    examine,
    unreadable,
)
from lawm_data.corpus.integrity.validate import HEADLESS, Known, check
from lawm_data.corpus.latents import (
    LATENTS,
    Latents,
    latent_names,
    read_latent_set,
    read_latents,
    save_latents,
)
from lawm_data.corpus.layout import Layout, layout_of
from lawm_data.corpus.mask import MASKS, choice_fault, mask_files, mask_sha256, read_mask
from lawm_data.corpus.overlay import (
    ARRAYS,
    LABELS,
    OVERLAY,
    Labels,
    encode_labels,
    headless_overlays,
    overlay_names,
    read_labels,
    read_overlay,
    without_errors,
)
from lawm_data.corpus.store import SHARDS, UPGRADE, absence_of, join_columns, read_manifest
from lawm_data.corpus.table import MetadataColumn, Table
from lawm_data.corpus.writing.commit import TakenIds, merge, to_parts
from lawm_data.corpus.writing.encode import write_shard
from lawm_data.corpus.writing.leftovers import leftovers
from lawm_data.system.atomic import (
    REPLACED,
    TEMPORARY,
    WriterLock,
    own_folder,
    read_file,
    storage_errors,
    sync_folder,
    write_file,
    write_folder,
)
from lawm_data.system.output import new_output, remove, require_free

BACKUP = "backup-"
"""Folders of damaged files inside a corpus: ``backup-1`` and so on."""
UNKNOWN = Provenance(source="unknown")
"""Source of trajectories whose own cannot be told any more."""


class Change(NamedTuple):
    """Something that a repair does."""

    where: str
    what: str


class ManifestState(Enum):
    """In what state the manifest was found."""

    sound = "sound"
    altered = "altered"
    """It can be read, and does not fit its checksum."""
    lost = "lost"


@dataclass
class Repair:
    """What a repair is about to do, or has done. Files are named from the corpus's folder on."""

    path: Path
    manifest: Manifest
    """As it is, or as the shards have it; its shards are those that are there."""
    found: ManifestState
    shards: list[ShardReport]
    """In their order."""
    moved: set[str] = field(default_factory=set)
    """Sound shards whose trajectories have moved up."""
    fingerprint: str = ""
    """Of what is kept."""
    changes: list[Change] = field(default_factory=list)
    """Nothing, when the corpus is sound."""
    lost: list[Loss] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    """Shards whose ids, sources, seeds and metadata were kept, though no hash covers them."""
    masks: dict[Path, Mask | None] = field(default_factory=dict)
    """What mask files become; None is set aside."""
    restricted: dict[str, Mask] = field(default_factory=dict)
    """What becomes of the masks of this corpus, by ``mask_sha256`` of what they were."""
    beside: dict[Path, Callable[[Path], object] | None] = field(default_factory=dict)
    """Overlays, features and latent actions that are restricted: what writes them into the corpus
    at a path. None, and all else here, is set aside."""
    leftovers: list[Path] = field(default_factory=list)
    known: Known = field(default_factory=Known)
    """What was found sound and stays as it is."""
    backup: Path | None = None
    """Where the damaged files are kept."""

    @property
    def trajectories(self) -> int:
        """How many are kept."""
        return sum(map(len, self.shards))

    @cached_property
    def table(self) -> Table:
        """The table of what is kept."""
        layout, place, columns, metadata = layout_of(self.manifest), 0, [], []
        for report in self.shards:
            if report.opened is not None:
                columns.append(report.opened.columns)
                metadata += report.opened.metadata_texts()
            elif report.kept:
                parts = to_parts(report.kept, place, layout.apart)
                columns.append(parts.columns)
                metadata += parts.metadata
            place += len(report)
        return join_columns(columns, _with_unknown(self), MetadataColumn.of(metadata))

    @property
    def replaces_manifest(self) -> bool:
        """Whether ``corpus.json`` changes."""
        stay = [
            None if report.file in self.moved else report.info
            for report in self.shards
            if len(report)
        ]
        return (
            self.found is not ManifestState.sound
            or stay != list(self.manifest.shards)
            or self.fingerprint != self.manifest.fingerprint
        )

    def change(self, where: Path | str, what: str) -> None:
        """Note something to do."""
        self.changes.append(Change(str(self.path / where), what))


def repair(
    path: str | Path, out: str | Path | None = None, like: str | Path | None = None
) -> Repair:
    """Restore what can be restored.

    Every trajectory is proved by its hash. New shards come first, then the manifest changes in one
    step, then overlays, features and latent actions follow, and masks come last, since they tell
    what was inferred under them: a repair that was killed is finished by another one.
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
    if not path.is_dir():
        raise CorpusError(absence_of(path), str(path), "check the path")
    lock = WriterLock(path)
    try:
        planned = plan_repair(path, like)
        if planned.changes:
            _require_something(planned)
            for name in (SHARDS, MASKS, LABELS):
                if (path / name).is_symlink():
                    own_folder(path / name)
            planned.backup = _keep_damaged(planned)
            _apply(planned, path, planned.known)
    except BaseException:
        lock.withdraw()
        raise
    lock.withdraw()
    return planned


def plan_repair(path: str | Path, like: str | Path | None = None) -> Repair:
    """Find out what a repair would do; reads everything once, writes nothing.

    Args:
        path: folder of the corpus.
        like: a corpus of the same arrays, to take their specs from when the manifest is lost and
            the shards keep no copy of it.

    Raises:
        CorpusError: nothing says what the arrays of the shards are.
        StorageError: the file system refused.
    """
    path = Path(path)
    manifest, found, opened = _manifest(path, like)
    shards = [_report(path, manifest, info, opened.get(info.file)) for info in manifest.shards]
    if all(report.first >= 0 for report in shards):
        shards.sort(key=lambda report: report.first)
    repair = Repair(path, manifest, found, _with_own_ids(shards))
    _plan_shards(repair)
    _plan_masks(repair)
    _plan_overlays(repair)
    _plan_features(repair)
    _plan_latents(repair)
    for entry in leftovers(path, manifest):
        lost_overlay = entry.name.endswith(REPLACED) and not _owner_of(entry).exists()
        repair.leftovers.append(entry.relative_to(path))
        what = "gets its name back" if lost_overlay else "is left over: removed"
        repair.change(entry.relative_to(path), what)
    return repair


Opened = dict[str, ShardFile]
"""Shards that were opened to learn what the manifest should say, by name."""


def _manifest(path: Path, like: str | Path | None) -> tuple[Manifest, ManifestState, Opened]:
    """The manifest, as it is or as the shards have it."""
    try:
        return read_manifest(path), ManifestState.sound, {}
    except CorpusError as error:
        if error.hint == UPGRADE:  # not damaged, only not understood
            raise
        with suppress(CorpusError):
            return _altered_manifest(path, read_manifest(path, checked=False))
        files = _shard_files(path)
        if not files:
            raise
        opened = _open_all(files)
        copies = [file.about for file in opened.values() if file.about is not None]
        if copies:
            base = max(copies, key=lambda copy: len(copy.provenance))
        elif like is not None:
            base = read_manifest(Path(like)).model_copy(update={"lineage": (), "licence": None})
        else:
            what = "is lost, and the shards were written before they kept a copy of it"
            hint = "give a corpus with the same arrays (--like)"
            raise CorpusError(what, str(path / MANIFEST), hint) from None
        infos = tuple(_infos(opened, layout_of(base)))
        return base.model_copy(update={"shards": infos}), ManifestState.lost, opened


def _altered_manifest(path: Path, manifest: Manifest) -> tuple[Manifest, ManifestState, Opened]:
    """A manifest that can be read and is not what was written.

    What the shards prove is taken from them; the rest stays as it is found.
    """
    opened = _open_all(_shard_files(path))
    copies = [file.about for file in opened.values() if file.about is not None and file.is_itself]
    if copies:
        base = max(copies, key=lambda copy: len(copy.provenance))
        specs = {"observations": base.observations, "action": base.action}
        manifest = manifest.model_copy(update=specs)
    if not all(info.file in opened for info in manifest.shards):
        infos = tuple(_infos(opened, layout_of(manifest)))
        manifest = manifest.model_copy(update={"shards": infos})
    return manifest, ManifestState.altered, opened


def _shard_files(path: Path) -> list[Path]:
    """What may be a shard, listed or not."""
    folder = path / SHARDS
    with storage_errors(folder):
        files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for file in files if SHARD_NAME.fullmatch(file.name)]


def _open_all(files: list[Path]) -> Opened:
    opened = {}
    for file in files:
        with suppress(CorpusError, FileNotFoundError):
            opened[file.name] = ShardFile(file)
    return opened


def _infos(opened: Opened, layout: Layout) -> Iterator[ShardInfo]:
    """What a manifest says of the files that make up the corpus, in their order."""
    found = []
    for file in opened.values():
        with suppress(CorpusError):
            shard = DamagedShard(file, layout)
            found.append(((shard.first, -len(shard), not file.is_itself), shard))
    end = 0
    # what was merged into others comes behind them and is left out, and so are copies of others
    for _, shard in sorted(found, key=lambda pair: pair[0]):
        if shard.first >= end:
            yield actual_info(shard) or shard.file.info(len(shard), max(1, shard.steps))
            end = shard.first + len(shard)


def _report(
    path: Path, manifest: Manifest, info: ShardInfo, opened: ShardFile | None
) -> ShardReport:
    file = path / SHARDS / info.file
    if not file.is_file():
        what = "its shard is a folder" if file.is_dir() else "its shard is missing"
        return unreadable(info, what)
    try:
        shard = DamagedShard(opened or ShardFile(file), layout_of(manifest))
    except CorpusError as error:
        return unreadable(info, f"its shard cannot be read: {error.what}")
    return examine(shard, manifest, info)


def _with_own_ids(shards: list[ShardReport]) -> list[ShardReport]:
    """The same, where no trajectory of a damaged shard has the id of another one."""
    taken = TakenIds(name.decode() for report in shards if not report.kept for name in report.ids)
    named = []
    for report in shards:
        kept = []
        for one in report.kept:
            name = taken.take(one.id)
            kept.append(one if report.original else one._replace(id=name))
        ids = [one.id.encode() for one in kept] if kept else report.ids
        named.append(replace(report, kept=kept, ids=ids))
    return named


def _plan_shards(repair: Repair) -> None:
    manifest, shards = repair.manifest, repair.shards
    place, listed = 0, {info.file: info for info in manifest.shards}
    for report in shards:
        file = Path(SHARDS, report.file)
        repair.lost += report.lost
        if report.original is not None:
            repair.change(file, "is restored, byte for byte")
        elif report.opened is None:
            kept_ones = f"{len(report)} of {len(report) + len(report.lost)} trajectories"
            repair.change(file, f"is damaged: {kept_ones} are sound and go into a new shard")
            repair.unproven += [report.file] * bool(len(report))
        elif report.first != place:
            repair.moved.add(report.file)
            repair.change(file, "is sound: written anew, its trajectories have moved up")
        else:
            repair.known.shards[report.file] = report.opened
            if report.info != listed[report.file]:
                repair.change(file, "is sound: what the manifest says of it is corrected")
        place += len(report)
    if [report.file for report in shards] != list(listed):
        repair.change(MANIFEST, "lists the shards in their order again")
    ids = np.array([name for report in shards for name in report.ids] or [b""], "S")
    digest = b"".join(part for report in shards for part in report.digest)
    rows = np.frombuffer(digest, np.uint8).reshape(-1, 32)
    repair.fingerprint = fingerprint_of(manifest, ids[: len(rows)], rows)
    if repair.found is ManifestState.lost:
        repair.change(MANIFEST, "is made again from the shards")
        return
    if repair.found is ManifestState.altered:
        what = "was altered: environment, sources, lineage and licence stay as they are found"
        repair.change(MANIFEST, what)
    if repair.fingerprint != manifest.fingerprint:
        repair.change(MANIFEST, "gets the fingerprint of what is there")


def _parents(repair: Repair) -> set[str]:
    """Fingerprints whose masks and overlays are those of what is kept."""
    known = {repair.fingerprint}
    if repair.found is not ManifestState.lost:
        known.add(repair.manifest.fingerprint)
    if (step := _unfinished(repair)) is not None:
        known.update(step.parents)
    return known


def _unfinished(repair: Repair) -> LineageStep | None:
    """The repair before, which may have been killed after it had changed the manifest."""
    for step in repair.manifest.lineage[-1:]:
        if step.operation == "repair" and step.settings.get("fingerprint") == repair.fingerprint:
            return step
    return None


def _plan_folder(repair: Repair, name: str, plans: dict[Path, Any]) -> None:
    """Set aside a file that stands where a folder should be."""
    place = repair.path / name
    if place.exists() and not place.is_dir():
        plans[Path(name)] = None
        repair.change(name, f"is a file, not the folder of {name}: set aside")


def _plan_masks(repair: Repair) -> None:
    """A mask lists fewer trajectories than before, never more, so it hides all that it hid."""
    complete = {
        name.decode()
        for report in repair.shards
        for name, whole in zip(report.ids, report.complete, strict=True)
        if whole
    }
    _plan_folder(repair, MASKS, repair.masks)
    for file in mask_files(repair.path):
        place = Path(MASKS, file.name)
        try:
            mask = read_mask(file)
        except MaskError as error:
            repair.masks[place] = None
            repair.change(place, f"{error.what}: set aside")
            continue
        if fault := _choice_fault(mask, repair):
            repair.masks[place] = None
            repair.change(place, f"{fault}: set aside")
            continue
        labeled = tuple(name for name in mask.labeled if name in complete)
        new = mask.model_copy(update={"corpus": repair.fingerprint, "labeled": labeled})
        if mask.corpus in _parents(repair) and labeled:
            repair.restricted[mask_sha256(mask)] = new
        if mask.corpus not in _parents(repair) or new == mask:
            repair.known.masks[mask.name] = mask
            continue
        repair.masks[place] = new if labeled else None
        what = f"keeps {len(labeled)} of {len(mask.labeled)} labeled trajectories"
        repair.change(place, what if labeled else f"{what}: set aside")


def _choice_fault(mask: Mask, repair: Repair) -> str:
    """What is wrong with the choice of a mask; empty where nothing is, or it cannot be told.

    A seed's choice is made again wherever nothing is lost of what it was made from. Nothing proves
    what a mask chose by an expression, or from a corpus that is no longer there.
    """
    if mask.where is not None or not mask.corpus == mask.chosen_from == repair.fingerprint:
        return ""
    manifest = repair.manifest.model_copy(update={"fingerprint": repair.fingerprint})
    return choice_fault(mask, repair.table, manifest)


def _plan_overlays(repair: Repair) -> None:
    there = _ids(repair)
    _plan_folder(repair, LABELS, repair.beside)
    for name in headless_overlays(repair.path):
        repair.beside[Path(LABELS, name)] = None
        repair.change(Path(LABELS, name), f"{HEADLESS}: set aside")
    for place, name in _overlays(repair.path):
        folder = repair.path / place
        try:
            info = read_overlay(folder, name)
            labels = read_labels(folder, info, repair.manifest.action.size, verify=True)
        except LawmError as error:
            repair.beside[place] = None
            repair.change(place, f"{error.what}: set aside")
            continue
        ours = info.corpus in _parents(repair)
        if ours and (fault := labels.fault(repair.table)):
            repair.beside[place] = None
            repair.change(place, f"{fault}: set aside")
            continue
        names = set(labels.ids.astype("U").tolist())
        current = info.corpus == repair.fingerprint
        if not ours or (current and names <= there):
            repair.known.overlays[name] = labels
            continue
        repair.beside[place] = partial(_write_labels, repair, labels)
        repair.change(place, f"keeps {len(names & there)} of {len(names)} trajectories")


def _plan_features(repair: Repair) -> None:
    """Damaged features are set aside: they can be made again. Those of another corpus stay."""
    _plan_folder(repair, FEATURES, repair.beside)
    for name in feature_names(repair.path):
        place = Path(FEATURES, name)
        folder = repair.path / place
        try:
            features = read_features(folder, read_feature_set(folder), verify=True)
        except LawmError as error:
            repair.beside[place] = None
            repair.change(place, f"{error.what}: set aside")
            continue
        if _is_restricted(repair, place, features):
            repair.beside[place] = partial(_write_features, repair, features)


def _plan_latents(repair: Repair) -> None:
    """As of features."""
    _plan_folder(repair, LATENTS, repair.beside)
    for name in latent_names(repair.path):
        place = Path(LATENTS, name)
        folder = repair.path / place
        try:
            latents = read_latents(folder, read_latent_set(folder))
        except LawmError as error:
            repair.beside[place] = None
            repair.change(place, f"{error.what}: set aside")
            continue
        fault = ""
        if latents.info.corpus == repair.fingerprint:
            fault = latents.fault(repair.table)
        elif latents.info.corpus in _parents(repair):
            fault = latents.value_fault()
        if fault:
            repair.beside[place] = None
            repair.change(place, f"{fault}: set aside")
        elif _is_restricted(repair, place, latents):
            repair.beside[place] = partial(_write_latents, repair, latents)


def _is_restricted(repair: Repair, place: Path, found: Features | Latents) -> bool:
    """Whether features or latent actions only lose what is lost, and have all that is kept."""
    if found.info.corpus not in _parents(repair) - {repair.fingerprint}:
        return False
    known = dict(zip(found.ids.tolist(), found.length.tolist(), strict=True))
    table = repair.table
    kept = zip(table.ids.tolist(), table.length.tolist(), strict=True)
    if all(known.get(name) == length for name, length in kept):
        repair.change(place, f"keeps {len(table)} of {len(known)} trajectories")
        return True
    if found.info.corpus == repair.manifest.fingerprint:
        repair.change(place, "is of the corpus as it was: stays, to be made again")
    return False


def _overlays(path: Path) -> Iterator[tuple[Path, str]]:
    """Folder and name of each overlay, those included that a killed writer has renamed."""
    for name in overlay_names(path):
        yield Path(LABELS, name), name
    for folder in sorted((path / LABELS).glob(f".*{REPLACED}")):
        if not _owner_of(folder).exists():
            yield Path(LABELS, folder.name), _owner_of(folder).name


def _owner_of(entry: Path) -> Path:
    """The overlay that ``.NAME.replaced`` was."""
    return entry.with_name(entry.name.removeprefix(".").removesuffix(REPLACED))


def _ids(repair: Repair) -> set[str]:
    return {name.decode() for report in repair.shards for name in report.ids}


def _require_something(planned: Repair) -> None:
    """Refuse to make an empty corpus of one that was not."""
    if planned.lost and not planned.trajectories:
        what = f"nothing of it can be restored: {planned.lost[0].what}"
        raise CorpusError(what, str(planned.path), "restore it from a copy")


def _repair_copy(path: Path, out: Path, like: str | Path | None) -> Repair:
    require_free(out)
    planned = plan_repair(path, like)
    _require_something(planned)
    stale = {
        *(path / SHARDS / report.file for report in planned.shards if report.kept),
        *(path / SHARDS / report.file for report in planned.shards if not len(report)),
        *(path / SHARDS / name for name in planned.moved),
        path / ".lock",
    }

    def not_copied(folder: str, names: list[str]) -> list[str]:
        at_the_top = Path(folder) == path
        return [
            name
            for name in names
            if Path(folder, name) in stale or (at_the_top and name.startswith(BACKUP))
        ]

    with new_output(out) as copy:
        with storage_errors(out):
            shutil.copytree(path, copy, ignore=not_copied)
        _apply(planned, copy, Known())
    return planned


def _keep_damaged(repair: Repair) -> Path | None:
    """Keep what is about to be replaced or removed, except leftovers of writers."""
    path = repair.path
    doomed = [Path(MANIFEST)] * repair.replaces_manifest + [*repair.masks, *repair.beside]
    doomed += [Path(SHARDS, report.file) for report in repair.shards if report.opened is None]
    doomed += [
        entry
        for entry in repair.leftovers
        if entry.suffix == ".h5" and not entry.name.startswith(TEMPORARY)
    ]
    places = {
        place: _owner_of(place) if place.name.endswith(REPLACED) else place
        for place in doomed
        if (path / place).exists()
    }
    if not places:
        return None
    number = 1
    while (backup := path / f"{BACKUP}{number}").exists():
        number += 1
    last = path / f"{BACKUP}{number - 1}"
    with storage_errors(backup):
        there = [place for place, kept in places.items() if (last / kept).exists()]
        same = all(_is_kept(path / place, last / places[place]) for place in there)
        if last.exists() and same and (there or _unfinished(repair)):
            # of a repair that was killed, which this one finishes
            for place in places.keys() - there:
                _keep(path / place, last / places[place])
            return last
        with new_output(backup) as temporary:
            for place, kept in places.items():
                _keep(path / place, temporary / kept)
    return backup


def _keep(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link)
    else:
        _link(source, target)


def _is_kept(source: Path, copy: Path) -> bool:
    """Whether a backup holds a file or folder already."""
    if source.is_dir() and copy.is_dir():
        return all(_is_kept(entry, copy / entry.name) for entry in source.iterdir())
    if not (source.is_file() and copy.is_file()):
        return False
    return source.samefile(copy) or filecmp.cmp(source, copy, shallow=False)


def _link(source: Path | str, target: Path | str) -> None:
    """A second name; files of a corpus are only ever replaced, never changed."""
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


def _apply(repair: Repair, folder: Path, known: Known) -> None:
    """Carry out a plan.

    Args:
        repair: the plan.
        folder: the corpus, or a copy of what stays of it.
        known: what need not be read to see whether all is well.
    """
    manifest = _new_manifest(repair, list(_write_shards(repair, folder / SHARDS)))
    if (folder / MANIFEST).is_dir():
        remove(folder / MANIFEST)
    if repair.replaces_manifest:
        write_file(folder / MANIFEST, manifest.to_json().encode())
    for place, write in repair.beside.items():
        if write is None:
            remove(folder / place)
        else:
            write(folder)
    for place, mask in repair.masks.items():
        if mask is None:
            remove(folder / place)
        else:
            write_file(folder / place, mask.to_json().encode())
    wrong = [f for f in check(folder, manifest, known) if f.severity == "error"]
    if wrong:
        hint = f"look into {repair.backup}" if repair.backup else "the original is untouched"
        raise CorpusError(f"still wrong after the repair: {wrong[0].what}", wrong[0].where, hint)
    with storage_errors(folder):
        for entry in leftovers(folder, manifest):
            if entry.name.endswith(REPLACED) and not _owner_of(entry).exists():
                entry.rename(_owner_of(entry))
            else:
                remove(entry)
        sync_folder(folder)


def _write_shards(repair: Repair, folder: Path) -> Iterator[ShardInfo]:
    """Write the shards that are not right as they are; what the manifest is to say of all."""
    layout, about, place = layout_of(repair.manifest), _with_unknown(repair), 0
    for report in repair.shards:
        if report.original is not None:
            write_file(folder / report.file, report.original.encode(layout))
            yield report.original.info
        elif report.opened is not None and report.file in repair.moved:
            parts = merge([report.opened], layout)
            moved = {"ordinal": np.arange(place, place + len(report))}
            parts = parts._replace(columns={**parts.columns, **moved})
            yield write_shard(folder, parts, layout, about)
        elif report.info is not None:
            yield report.info
        elif report.kept:
            yield write_shard(folder, to_parts(report.kept, place, layout.apart), layout, about)
        place += len(report)


def _with_unknown(repair: Repair) -> Manifest:
    """The manifest with a source for trajectories that have lost theirs."""
    beyond = len(repair.manifest.provenance)
    if not any(one.provenance == beyond for report in repair.shards for one in report.kept):
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
        lost = repair.found is ManifestState.lost
        parents = () if lost else (repair.manifest.fingerprint,)
        step = LineageStep(operation="repair", parents=parents, settings=settings)
        update["lineage"] = (*repair.manifest.lineage, step)
    return _with_unknown(repair).model_copy(update=update)


def _write_labels(repair: Repair, labels: Labels, path: Path) -> None:
    """Replace an overlay by one that labels only trajectories that are there.

    Its error was measured over those it was written for. What was inferred under a mask goes with
    what is left of the mask.
    """
    there = _ids(repair)
    names = [name for name in labels.ids.astype("U").tolist() if name in there]
    data = encode_labels({name: labels.read(name) for name in names}, labels.width)
    update = {
        "corpus": repair.fingerprint,
        "mask_sha256": _new_mask(repair, labels.info.mask_sha256),
        "trajectories": len(names),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    info = labels.info if len(names) == len(labels.ids) else without_errors(labels.info)
    info = info.model_copy(update=update)
    write_folder(path / LABELS / info.name, {ARRAYS: data, OVERLAY: info.to_json().encode()})


def _write_features(repair: Repair, features: Features, path: Path) -> None:
    """Replace features by those of the trajectories that are there."""
    info, rows, ids = features.info, dict(features.by_id()), repair.table.id.tolist()
    update: dict[str, object] = {"corpus": repair.fingerprint}
    if len(ids) < len(rows):
        update["probe"] = {}  # it was of others, too
    encoder = read_file(repair.path / FEATURES / info.name / ENCODER)
    found = {name: rows[name] for name in ids}
    save_features(path / FEATURES / info.name, info.model_copy(update=update), found, encoder)


def _write_latents(repair: Repair, latents: Latents, path: Path) -> None:
    """Likewise."""
    info, table = latents.info, repair.table
    mask = _new_mask(repair, info.mask_sha256)
    info = info.model_copy(update={"corpus": repair.fingerprint, "mask_sha256": mask})
    lengths = zip(table.id.tolist(), table.length.tolist(), strict=True)
    found = {name: (length, latents.read(name)) for name, length in lengths}
    save_latents(path / LATENTS / info.name, info, found)


def _new_mask(repair: Repair, sha256: str | None) -> str | None:
    """``mask_sha256`` of what is left of the mask that had this one."""
    mask = repair.restricted.get(sha256 or "")
    return sha256 if mask is None else mask_sha256(mask)
