"""A corpus on disk, mapped: the manifest, the shards and the whole table of trajectories."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lawm_schemas import (
    FORMAT_VERSION,
    MANIFEST,
    ConfigError,
    CorpusError,
    Manifest,
    StorageError,
    load_json,
)

from lawm_data.corpus.fingerprint import fingerprint_of
from lawm_data.corpus.layout import Layout, layout_of
from lawm_data.corpus.shard import OpenShard, Shard, open_shard
from lawm_data.corpus.table import SEEDED, Index, MetadataColumn, Table
from lawm_data.system.atomic import storage_errors
from lawm_data.system.hdf5 import HINT

SHARDS = "shards"
MANIFEST_LIMIT = 1 << 26
"""Bytes; a larger manifest is not read."""
UPGRADE = "upgrade lawm"
"""What mends a manifest of a newer format."""
ATTEMPTS = 8
"""How often a reader follows a writer that compacts while it opens."""


@dataclass(frozen=True, eq=False)
class Store:
    """Everything in a corpus, without any mask. Views show parts of it."""

    path: Path
    manifest: Manifest
    layout: Layout
    shards: tuple[Shard, ...]
    table: Table
    index: Index
    digest: np.ndarray
    """(N, 32) uint8: content hash of each trajectory, actions included."""


def open_store(path: Path, verify: bool = False) -> Store:
    """Map a corpus; the sizes and offsets of everything are checked, checksums on request.

    Raises:
        CorpusError: what is on disk is not a corpus, or not the one its manifest describes.
        StorageError: the file system refused.
    """
    manifest = read_manifest(path)
    for _ in range(ATTEMPTS):
        try:
            return _map(path, manifest, verify)
        except FileNotFoundError as error:
            # A writer may have compacted since the manifest was read: then there is a new one.
            latest = read_manifest(path)
            if latest == manifest:
                raise CorpusError("is missing", str(error.filename), HINT) from None
            manifest = latest
    raise CorpusError("changes faster than it can be opened", str(path), "open it again")


def read_manifest(path: Path, checked: bool = True) -> Manifest:
    """Read ``corpus.json``.

    Args:
        path: folder of the corpus.
        checked: refuse one that does not fit its checksum.

    Raises:
        CorpusError: not a corpus, damaged, or of a newer format version.
    """
    file = path / MANIFEST
    with storage_errors(file):
        if not file.is_file():
            hint = HINT if (path / SHARDS).is_dir() else "check the path"
            raise CorpusError(absence_of(path), str(path), hint)
        if file.stat().st_size > MANIFEST_LIMIT:
            raise CorpusError(f"is larger than {MANIFEST_LIMIT} bytes", str(file), HINT)
        try:
            data = load_json(file)
            version = data.get("format_version") if isinstance(data, dict) else None
            if isinstance(version, int) and version > FORMAT_VERSION:
                raise CorpusError(
                    f"has format version {version}; this lawm reads up to {FORMAT_VERSION}",
                    str(file),
                    UPGRADE,
                )
            manifest = Manifest.parse(data, str(file), checked)
        except ConfigError as error:
            raise CorpusError(error.what, error.where, HINT) from None
    names = [shard.file for shard in manifest.shards]
    if len(set(names)) != len(names):
        raise CorpusError("lists a shard twice", str(file), HINT)
    return manifest


def absence_of(path: Path) -> str:
    """Why there is no corpus at a place."""
    if path.is_dir():
        return "is not a corpus (it has no corpus.json)"
    return "is a file, not the folder of a corpus" if path.exists() else "does not exist"


def _map(path: Path, manifest: Manifest, verify: bool) -> Store:
    layout, sources = layout_of(manifest), len(manifest.provenance)
    opened = []
    for info in manifest.shards:
        file = path / SHARDS / info.file
        try:
            opened.append(open_shard(file, info, layout, sources, verify))
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(file)) from None
        except OSError as error:
            raise StorageError.from_os_error(error, str(file)) from None
    return join_shards(path, manifest, layout, opened, verify)


def join_shards(
    path: Path, manifest: Manifest, layout: Layout, opened: Sequence[OpenShard], verify: bool
) -> Store:
    """Put the tables of shards end to end; nothing here loops over trajectories."""
    columns = [part.columns for part in opened]
    counts = [len(part["length"]) for part in columns]
    position = np.arange(sum(counts), dtype=np.int64)
    if not np.array_equal(_join([part["ordinal"] for part in columns], np.int64), position):
        raise CorpusError("trajectories are not in order", str(path / MANIFEST), HINT)
    shard = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    metadata = MetadataColumn(
        tuple(part.metadata for part in opened),
        shard,
        _join([np.concatenate([[0], part.metadata_end[:-1]]) for part in opened], np.int64),
        _join([part.metadata_end for part in opened], np.int64),
    )
    table = join_columns(columns, manifest, metadata)
    action_row = _join([part["action_row"] for part in columns], np.int64)
    index = Index(
        length=table.length,
        shard=shard,
        row=_join([part["row"] for part in columns], np.int64),
        action_row=action_row,
        partial=(action_row >= 0) & (table.num_observed < table.length),
        position=position,
    )
    digest = _join([part["digest"] for part in columns], np.uint8).reshape(-1, 32)
    if verify and fingerprint_of(manifest, table.ids, digest) != manifest.fingerprint:
        raise CorpusError("the fingerprint differs from the content", str(path / MANIFEST), HINT)
    shards = tuple(part.shard for part in opened)
    return Store(path, manifest, layout, shards, table, index, digest)


def join_columns(
    parts: Sequence[Mapping[str, np.ndarray]], manifest: Manifest, metadata: MetadataColumn
) -> Table:
    """The table of a corpus.

    Args:
        parts: the columns of its shards, in order.
        manifest: names the sources.
        metadata: of all trajectories.
    """

    def column(name: str, kind: type) -> np.ndarray:
        found = [part[name] for part in parts]
        if kind is np.bool_:
            found = [part.view(np.bool_) for part in found]
        return _join(found, kind)

    return Table(
        ids=column("id", np.bytes_),
        length=column("length", np.int64),
        labels=column("labels", np.uint8),
        num_observed=column("num_observed", np.int64),
        episode_return=column("episode_return", np.float64),
        terminated=column("terminated", np.bool_),
        truncated=column("truncated", np.bool_),
        provenance=column("provenance", np.int32),
        agent_step=column("agent_step", np.int64),
        seed=column("seed", np.uint64),
        seeded=column(SEEDED, np.bool_),
        sources=tuple(entry.source for entry in manifest.provenance),
        metadata=metadata,
    )


def _join(parts: Sequence[np.ndarray], kind: type) -> np.ndarray:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, "S1" if kind is np.bytes_ else kind)
