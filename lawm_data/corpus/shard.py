"""Shards: immutable HDF5 files whose numeric arrays are memory-mapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lawm_schemas import CorpusError, ShardInfo

from lawm_data.corpus.layout import Layout, is_chunked, stored_dtype
from lawm_data.corpus.table import COLUMNS, MISSING, OBSERVED, SEEDED, read_seeds
from lawm_data.system.hdf5 import HINT, ChunkedField, MappedFile

DIGEST_BYTES = 32


@dataclass(frozen=True, eq=False)
class Shard:
    """The arrays of many trajectories end to end. All of them are read-only."""

    steps: np.ndarray
    """(R, W) float32: T+1 rows per trajectory; float32 state fields in manifest order, then the
    reward (0 in the row of the final observation)."""
    actions: np.ndarray | None
    """(Ra, A): T rows for each trajectory with actions, or None when there is not one."""
    action_observed: np.ndarray | None
    """(Ra,) bool, or None when every row of ``actions`` is observed."""
    fields: Mapping[str, np.ndarray | ChunkedField]
    """(R, *shape): every other array, by name; pixels are decompressed slice by slice."""
    release_memory: Callable[[], None]
    """Lets go of the pages of the file that were read."""


class OpenShard(NamedTuple):
    """A shard and its part of the table, just opened and checked."""

    shard: Shard
    columns: dict[str, np.ndarray]
    """The columns of ``COLUMNS`` and ``digest``, (n, 32) uint8; seeds as ``read_seeds`` gives them.
    """
    metadata: np.ndarray
    """JSON of all trajectories, end to end."""
    metadata_end: np.ndarray
    """(n,) int64: where each trajectory's JSON ends."""

    def metadata_texts(self) -> list[bytes]:
        """The JSON of each trajectory."""
        text, ends = self.metadata.tobytes(), self.metadata_end.tolist()
        return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def open_shard(
    path: Path, info: ShardInfo, layout: Layout, sources: int, verify: bool = False
) -> OpenShard:
    """Map a shard and check that everything it declares lies inside it.

    Args:
        path: the file.
        info: what the manifest says of it.
        layout: where its arrays should be.
        sources: number of provenance entries of the corpus.
        verify: compare the checksum of every byte too.

    Raises:
        CorpusError: the file is not what the manifest says, or declares what it doesn't hold.
        FileNotFoundError: no such file.
    """
    file = MappedFile(path, info.bytes, info.sha256 if verify else None)
    try:
        return read_shard(file, info, layout, sources)
    except BaseException:
        file.close()
        raise


def read_shard(file: MappedFile, info: ShardInfo, layout: Layout, sources: int) -> OpenShard:
    """The arrays of a shard that is mapped already; see ``open_shard``."""
    opened = _read(file, info, layout)
    # Compressed fields are read through the library, so their file stays open.
    if not any(isinstance(field, ChunkedField) for field in opened.shard.fields.values()):
        file.close()
    _check_table(opened, info, sources, file.path)
    return opened


def _read(file: MappedFile, info: ShardInfo, layout: Layout) -> OpenShard:
    n = info.trajectories
    steps = file.array("steps", "<f4", (-1, layout.width))
    rows = len(steps)
    fields: dict[str, np.ndarray | ChunkedField] = {}
    for spec in layout.apart:
        read = file.chunked if is_chunked(spec) else file.array
        field = read(f"fields/{spec.name}", stored_dtype(spec), (rows, *spec.shape))
        if isinstance(field, np.ndarray) and spec.dtype == "bool":
            field = field.view(np.bool_)
        fields[spec.name] = field
    actions = observed = None
    if file.has("actions"):
        actions = file.array("actions", layout.action_dtype, (-1, layout.action.size))
        if layout.action.dtype == "bool":
            actions = actions.view(np.bool_)
        if file.has("action_observed"):
            observed = file.array("action_observed", "|u1", (len(actions),)).view(np.bool_)
    columns = {name: file.array(f"table/{name}", kind, (n,)) for name, kind in COLUMNS.items()}
    columns["digest"] = file.array("table/digest", "|u1", (n, DIGEST_BYTES))
    seeded = file.array(f"table/{SEEDED}", "|u1", (n,)) if file.has(f"table/{SEEDED}") else None
    columns["seed"], columns[SEEDED] = read_seeds(columns["seed"], seeded)
    metadata, end = np.empty(0, np.uint8), np.zeros(n, np.int64)
    if file.has("table/metadata"):
        metadata = file.array("table/metadata", "|u1", (-1,))
        end = file.array("table/metadata_end", "<i8", (n,))
    return OpenShard(
        Shard(steps, actions, observed, fields, file.release_memory), columns, metadata, end
    )


def _check_table(opened: OpenShard, info: ShardInfo, sources: int, path: Path) -> None:
    """Check that the table's offsets tile the arrays exactly, so that no row can lie outside."""
    column, shard = opened.columns, opened.shard
    length, labels, observed = column["length"], column["labels"], column["num_observed"]
    recorded = labels == OBSERVED
    action_rows = 0 if shard.actions is None else len(shard.actions)
    taken = np.where(recorded, length, 0)
    partial = recorded & (observed < length)
    first_row, first_action = _starts(length + 1), _starts(taken)
    rules = {
        "id": plain_ids(column["id"]),
        "length": (length >= 1) & (length <= len(shard.steps)),
        "row": (column["row"] == first_row),
        "action_row": column["action_row"] == np.where(recorded, first_action, -1),
        "labels": recorded | (labels == MISSING),
        "num_observed": np.where(recorded, (observed > 0) & (observed <= length), observed == 0),
        "episode_return": np.isfinite(column["episode_return"]),
        "terminated": column["terminated"] <= 1,
        "truncated": column["truncated"] <= 1,
        "provenance": (column["provenance"] >= 0) & (column["provenance"] < sources),
        "metadata_end": np.diff(opened.metadata_end, prepend=0) >= 0,
    }
    for name, holds in rules.items():
        if not holds.all():
            where = f"{path}: table/{name}"
            raise CorpusError(f"trajectory {int(np.argmin(holds))} is impossible", where, HINT)
    whole = {
        "steps": (int((length + 1).sum()), len(shard.steps)),
        "table/length": (int(length.sum()), info.steps),
        "actions": (int(taken.sum()), action_rows),
        "table/metadata": (int(opened.metadata_end[-1]), len(opened.metadata)),
    }
    for name, (declared, present) in whole.items():
        if declared != present:
            where = f"{path}: {name}"
            raise CorpusError(f"{declared} rows declared, {present} present", where, HINT)
    if partial.any() and shard.action_observed is None:
        raise CorpusError("is missing", f"{path}: action_observed", HINT)


def plain_ids(ids: np.ndarray) -> np.ndarray:
    """Which ids are letters, digits and hyphens, so that they can be printed and searched."""
    plain = np.zeros(256, bool)
    plain[list(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\0")] = True
    characters = np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), -1)
    return plain[characters].all(1) & (characters[:, 0] != 0)


def _starts(lengths: np.ndarray) -> np.ndarray:
    """Exclusive cumulative sum: where each of the consecutive pieces begins."""
    return np.cumsum(lengths) - lengths
