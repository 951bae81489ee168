"""Looking for everything that is wrong with a corpus, instead of stopping at the first thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from lawm_schemas import LawmError, Manifest, ShardInfo

from lawm_data.atomic import TEMPORARY
from lawm_data.corpus import Corpus
from lawm_data.fingerprint import fingerprint_of
from lawm_data.hdf5 import MEND
from lawm_data.layout import Layout, layout_of
from lawm_data.mask import mask_files, read_mask, readable_under
from lawm_data.overlay import open_labels, overlay_names
from lawm_data.record import beyond_bounds, content_hash, full_digest
from lawm_data.shard import OpenShard, open_shard
from lawm_data.store import MANIFEST, SHARDS, Store, join_shards, read_manifest
from lawm_data.table import OBSERVED

STALE = "belongs to another corpus, or to this one before it changed"
"""What is said of masks and overlays that cannot be used any more."""
NAMED = 5
"""Findings of one kind in a shard that are listed one by one; more are counted."""


class Finding(NamedTuple):
    """One thing that is wrong (``error``) or worth knowing (``warning``)."""

    severity: Literal["error", "warning"]
    where: str
    what: str
    mend: str


def validate(path: str | Path) -> list[Finding]:
    """Check a corpus down to the last byte; bad data are findings, never exceptions.

    Checked are the manifest, every shard's size, checksum and structure, every trajectory's
    content hash, values and bounds, the fingerprint, masks, overlays, and stray files.
    """
    path = Path(path)
    findings: list[Finding] = []

    def attempt(check: Callable[[], Iterator[Finding]]) -> None:
        try:
            findings.extend(check())
        except LawmError as error:
            findings.append(Finding("error", error.where, error.what, error.mend))
        except OSError as error:
            findings.append(Finding("error", str(path), str(error), "check the file system"))

    try:
        manifest = read_manifest(path)
    except LawmError as error:
        return [Finding("error", error.where, error.what, error.mend)]
    layout, opened = layout_of(manifest), []
    for info in manifest.shards:
        attempt(lambda info=info: _check_shard(path, manifest, info, layout, opened))
    if len(opened) == len(manifest.shards):
        attempt(lambda: _check_whole(path, manifest, layout, opened))
    attempt(lambda: _check_strays(path, manifest))
    return findings


def _check_shard(
    path: Path, manifest: Manifest, info: ShardInfo, layout: Layout, opened: list[OpenShard]
) -> Iterator[Finding]:
    file = path / SHARDS / info.file
    try:
        part = open_shard(file, info, layout, len(manifest.provenance))
    except FileNotFoundError:
        yield Finding("error", str(file), "is missing", MEND)
        return
    opened.append(part)
    try:
        open_shard(file, info, layout, len(manifest.provenance), verify=True)
    except LawmError as error:
        yield Finding("error", error.where, error.what, error.mend)
    bad = 0
    for i in range(info.trajectories):
        for what in _check_trajectory(part, i, layout):
            bad += 1
            if bad <= NAMED:
                where = f"{file}: trajectory {part.columns['id'][i].decode('ascii')}"
                yield Finding("error", where, what, MEND)
    if bad > NAMED:
        yield Finding("error", str(file), f"{bad - NAMED} more of these", MEND)


def _check_trajectory(part: OpenShard, i: int, layout: Layout) -> Iterator[str]:
    column, shard = part.columns, part.shard
    length, row = int(column["length"][i]), int(column["row"][i])
    steps = shard.steps[row : row + length + 1]
    rows = slice(row, row + length + 1)
    try:
        fields = {spec.name: shard.fields[spec.name][rows] for spec in layout.apart}
    except LawmError as error:
        yield f"{error.where}: {error.what}"
        return
    actions, observed = None, np.zeros(length, bool)
    if column["labels"][i] == OBSERVED and shard.actions is not None:
        taken = slice(int(column["action_row"][i]), int(column["action_row"][i]) + length)
        actions, flags = shard.actions[taken], shard.action_observed
        observed = np.ones(length, bool) if flags is None else flags[taken]
        if observed.sum() != column["num_observed"][i]:
            yield f"{int(observed.sum())} actions are observed, its row of the table says otherwise"
        if actions[~observed].any():
            yield "values are stored for actions that were not observed"
        if _not_finite(actions):
            yield "an action is not a finite number"
        shaped = actions[observed].reshape(-1, *layout.action.shape)
        if beyond_bounds(shaped, layout.action).any():
            yield "an action is outside the bounds of the action spec"
    if _not_finite(steps) or any(_not_finite(field) for field in fields.values()):
        yield "an observation or a reward is not a finite number"
    if column["episode_return"][i] != steps[:, -1].sum(dtype=np.float64):
        yield "its return is not the sum of its rewards"
    done = bool(column["terminated"][i]), bool(column["truncated"][i])
    content = content_hash(steps, fields, layout)
    if full_digest(content, actions, observed, *done) != column["digest"][i].tobytes():
        yield "its content was altered: the hash differs"


def _not_finite(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and not np.isfinite(array).all()


def _check_whole(
    path: Path, manifest: Manifest, layout: Layout, opened: list[OpenShard]
) -> Iterator[Finding]:
    store = join_shards(path, manifest, layout, opened, verify=False)
    table = store.table
    names, counts = np.unique(table.ids, return_counts=True)
    for name in names[counts > 1][:NAMED]:
        where = f"{path}: trajectory {name.decode('ascii')}"
        yield Finding("error", where, "its id is used twice", MEND)
    if fingerprint_of(manifest, table.ids, store.digest) != manifest.fingerprint:
        what = "the fingerprint differs from the content"
        yield Finding("error", str(path / MANIFEST), what, MEND)
    twins = len(store.digest) - len(np.unique(store.digest, axis=0))
    if twins:
        mend = "drop them with filter, unless they are meant"
        yield Finding("warning", str(path), f"{twins} trajectories are copies of others", mend)
    if not len(table):
        yield Finding("warning", str(path), "holds no trajectories", "collect some")
    for i in range(len(table) if any(len(blob) for blob in table.metadata.blobs) else 0):
        try:
            table.info(i)
        except LawmError as error:
            yield Finding("error", f"{path}: {error.where}", error.what, error.mend)
    yield from _check_beside(path, store)


def _check_beside(path: Path, store: Store) -> Iterator[Finding]:
    """Masks and overlays: damaged ones are errors, those of an earlier version warnings."""
    corpus = Corpus(store)
    for file in mask_files(path):
        try:
            mask = read_mask(file)
            if mask.corpus == corpus.root_fingerprint:
                readable_under(mask, corpus, store.table)
            else:
                yield Finding("warning", str(file), STALE, "make it again with --replace")
        except LawmError as error:
            yield Finding("error", str(file), error.what, error.mend)
    for name in overlay_names(path):
        try:
            labels = open_labels(corpus, name, verify=True)
            known = np.isin(labels.ids, store.table.ids)
            if not known.all():
                what = f"labels {int((~known).sum())} trajectories that are not there"
                yield Finding("error", f"overlay {name}", what, "relabel it")
        except LawmError as error:
            if error.what.startswith("belongs to corpus"):
                yield Finding("warning", error.where, STALE, "relabel with --replace")
            else:
                yield Finding("error", error.where, error.what, error.mend)


def _check_strays(path: Path, manifest: Manifest) -> Iterator[Finding]:
    known = {shard.file for shard in manifest.shards}
    folder = path / SHARDS
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    outside = [entry for entry in sorted(path.iterdir()) if entry.name.startswith(TEMPORARY)]
    for entry in [*outside, *(entry for entry in inside if entry.name not in known)]:
        what = "is left over from a writer that did not finish"
        yield Finding("warning", str(entry), what, "the next writer removes it")
