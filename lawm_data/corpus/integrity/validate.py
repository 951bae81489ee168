"""Looking for everything that is wrong with a corpus, instead of stopping at the first thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from lawm_schemas import ALTERED, MANIFEST, LawmError, Manifest, Mask, ShardInfo

from lawm_data.corpus.constant_actions import inert_actions
from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.features import (
    AGAIN,
    FEATURES,
    feature_names,
    open_features,
    read_feature_set,
)
from lawm_data.corpus.fingerprint import fingerprint_of
from lawm_data.corpus.integrity.soundness import trajectory_faults, unsound
from lawm_data.corpus.latents import AGAIN as INFER_AGAIN
from lawm_data.corpus.latents import LATENTS, latent_names, open_latents, read_latent_set
from lawm_data.corpus.layout import Layout, layout_of
from lawm_data.corpus.mask import ASIDE, MASKS, choice_fault, mask_files, read_mask, readable_under
from lawm_data.corpus.overlay import (
    LABELS,
    OVERLAY,
    Labels,
    headless_overlays,
    overlay_names,
    read_labels,
    read_overlay,
)
from lawm_data.corpus.shard import OpenShard, read_shard
from lawm_data.corpus.store import SHARDS, Store, join_shards, read_manifest
from lawm_data.corpus.writing.leftovers import is_a_writers, leftovers
from lawm_data.system.hdf5 import HINT, MappedFile

HEADLESS = f"has no {OVERLAY}"
"""What is said of actions that nothing says anything of."""
STALE = "belongs to another corpus, or to this one before it changed"
"""What is said of masks and overlays that cannot be used any more."""
NAMED = 5
"""Findings of one kind in a shard that are listed one by one; more are counted."""


class Finding(NamedTuple):
    """One thing that is wrong (``error``) or worth knowing (``warning``)."""

    severity: Literal["error", "warning"]
    where: str
    what: str
    hint: str


@dataclass
class Known:
    """Parts of a corpus that were read a moment ago and found sound; nobody reads them again."""

    shards: dict[str, OpenShard] = field(default_factory=dict)
    """By file name."""
    masks: dict[str, Mask] = field(default_factory=dict)
    """By name."""
    overlays: dict[str, Labels] = field(default_factory=dict)
    """By name."""


def validate(path: str | Path) -> list[Finding]:
    """Check a corpus down to the last byte; bad data are findings, never exceptions.

    Checked are the manifest, every shard's size, checksum and structure, every trajectory's
    content hash, values and bounds, the fingerprint, masks, overlays, features, latent actions, and
    stray files.
    """
    path = Path(path)
    try:
        manifest = read_manifest(path)
    except LawmError as error:
        return [Finding("error", error.where, error.what, error.hint)]
    return check(path, manifest, Known())


def check(path: Path, manifest: Manifest, known: Known) -> list[Finding]:
    """Check everything that lies beside a manifest, see ``validate``.

    Args:
        path: folder of the corpus.
        manifest: what ``corpus.json`` says.
        known: what need not be read.
    """
    findings: list[Finding] = []

    def attempt(look: Callable[[], Iterator[Finding]]) -> None:
        try:
            findings.extend(look())
        except LawmError as error:
            findings.append(Finding("error", error.where, error.what, error.hint))
        except OSError as error:
            findings.append(Finding("error", str(path), str(error), "check the file system"))

    layout, opened = layout_of(manifest), []
    attempt(lambda: _check_folders(path, manifest))
    for info in manifest.shards if (path / SHARDS).is_dir() else ():
        if info.file in known.shards:
            opened.append(known.shards[info.file])
        else:
            attempt(lambda info=info: _check_shard(path, manifest, info, layout, opened))
    if len(opened) == len(manifest.shards):
        attempt(lambda: _check_whole(path, manifest, layout, opened, known))
    attempt(lambda: _check_strays(path, manifest))
    return findings


def _check_folders(path: Path, manifest: Manifest) -> Iterator[Finding]:
    """Files that stand where a folder should be."""
    beside = dict.fromkeys((MASKS, LABELS, FEATURES, LATENTS), ASIDE)
    for name, hint in {SHARDS: HINT, **beside}.items():
        if not (path / name).is_dir() and (path / name).exists():
            yield Finding("error", str(path / name), f"is a file, not the folder of {name}", hint)
    if manifest.shards and not (path / SHARDS).exists():
        yield Finding("error", str(path / SHARDS), "is missing", HINT)


def _check_shard(
    path: Path, manifest: Manifest, info: ShardInfo, layout: Layout, opened: list[OpenShard]
) -> Iterator[Finding]:
    file = path / SHARDS / info.file
    try:
        mapped = MappedFile(file, info.bytes)
    except FileNotFoundError:
        yield Finding("error", str(file), "is missing", HINT)
        return
    part = read_shard(mapped, info, layout, len(manifest.provenance))
    opened.append(part)
    if mapped.sha256() != info.sha256:
        yield Finding("error", str(file), ALTERED, HINT)
    bad = 0
    for i in unsound(part, layout):
        for what in trajectory_faults(part, i, layout):
            bad += 1
            if bad <= NAMED:
                where = f"{file}: trajectory {part.columns['id'][i].decode('ascii')}"
                yield Finding("error", where, what, HINT)
    if bad > NAMED:
        yield Finding("error", str(file), f"{bad - NAMED} more of these", HINT)


def _check_whole(
    path: Path, manifest: Manifest, layout: Layout, opened: list[OpenShard], known: Known
) -> Iterator[Finding]:
    store = join_shards(path, manifest, layout, opened, verify=False)
    table = store.table
    names, counts = np.unique(table.ids, return_counts=True)
    for name in names[counts > 1][:NAMED]:
        where = f"{path}: trajectory {name.decode('ascii')}"
        yield Finding("error", where, "its id is used twice", HINT)
    if fingerprint_of(manifest, table.ids, store.digest) != manifest.fingerprint:
        what = "the fingerprint differs from the content"
        yield Finding("error", str(path / MANIFEST), what, HINT)
    first = np.unique(store.digest, axis=0, return_index=True)[1]
    twins = np.setdiff1d(np.arange(len(table)), first)
    if len(twins):
        some = ", ".join(table.id[twins[:NAMED]].tolist()) + ", …" * (len(twins) > NAMED)
        what, hint = f"{len(twins)} trajectories are copies of others", "delete them"
        yield Finding("warning", str(path), f"{what}: {some}", f"{hint}, unless they are meant")
    if not len(table):
        yield Finding("warning", str(path), "holds no trajectories", "collect some")
    yield from _check_beside(path, store, known)
    for what, hint in inert_actions(Corpus(store)).warnings(path):
        yield Finding("warning", str(path), what, hint)


def _check_beside(path: Path, store: Store, known: Known) -> Iterator[Finding]:
    """Masks and overlays: damaged ones are errors, those of an earlier version warnings."""
    corpus = Corpus(store)
    for file in mask_files(path):
        if file.stem in known.masks:
            continue
        try:
            mask = read_mask(file)
            if mask.corpus != corpus.root_fingerprint:
                yield Finding("warning", str(file), STALE, "make it again with --replace")
                continue
            readable_under(mask, corpus, store.table)
            if fault := choice_fault(mask, store.table, store.manifest):
                # an older one may have been made for a part of the corpus
                severity = "warning" if mask.chosen_from is None else "error"
                yield Finding(severity, str(file), fault, "make it again with --replace")
        except LawmError as error:
            yield Finding("error", str(file), error.what, error.hint)
    for name in headless_overlays(path):
        yield Finding("error", str(path / LABELS / name), HEADLESS, ASIDE)
    for name in overlay_names(path):
        try:
            folder, labels = path / LABELS / name, known.overlays.get(name)
            info = labels.info if labels else read_overlay(folder)
            if info.corpus != corpus.root_fingerprint:
                yield Finding("warning", f"overlay {name}", STALE, "relabel with --replace")
                continue
            labels = labels or read_labels(folder, info, store.manifest.action.size, verify=True)
            there = np.isin(labels.ids, store.table.ids)
            if not there.all():
                what = f"labels {int((~there).sum())} trajectories that are not there"
                yield Finding("error", f"overlay {name}", what, "relabel it (--replace)")
            if fault := labels.fault(store.table):
                yield Finding("error", f"overlay {name}", fault, "relabel it (--replace)")
        except LawmError as error:
            yield Finding("error", error.where, error.what, error.hint)
    for name in feature_names(path):
        try:
            if read_feature_set(path / FEATURES / name).corpus != corpus.root_fingerprint:
                yield Finding("warning", f"features {name}", STALE, AGAIN)
            else:
                open_features(store, name, verify=True)
        except LawmError as error:
            yield Finding("error", error.where, error.what, error.hint)
    for name in latent_names(path):
        try:
            if read_latent_set(path / LATENTS / name).corpus != corpus.root_fingerprint:
                yield Finding("warning", f"latent actions {name}", STALE, INFER_AGAIN)
            else:
                open_latents(corpus, name)
        except LawmError as error:
            yield Finding("error", error.where, error.what, error.hint)


def _check_strays(path: Path, manifest: Manifest) -> Iterator[Finding]:
    known = {shard.file for shard in manifest.shards}
    for entry in leftovers(path, manifest):
        what = "is left over from a writer that did not finish"
        gone = is_a_writers(entry, path, known)
        hint = "the next writer removes it" if gone else "lawm-data repair removes it"
        yield Finding("warning", str(entry), what, hint)
