"""Getting the trajectories that are provably sound out of a damaged shard."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from lawm_schemas import CorpusError, Manifest

from lawm_data.corpus.commit import Pending
from lawm_data.corpus.encode import ABOUT
from lawm_data.corpus.integrity.soundness import is_metadata, value_faults
from lawm_data.corpus.layout import Layout, is_chunked, stored_dtype
from lawm_data.corpus.record import Record, content_hash, full_digest
from lawm_data.corpus.shard import DIGEST_BYTES, plain_ids
from lawm_data.corpus.table import COLUMNS, MISSING, OBSERVED
from lawm_data.system.hdf5 import ALIGNMENT, ChunkedField, MappedFile

SUPERBLOCK = 96
"""Bytes at the front of the HDF5 files that this package writes."""
END_OF_FILE = slice(40, 48)
"""Where a superblock of version 0 says how long the file should be."""
LONGEST = 1 << 36
"""Bytes; a damaged number is not believed beyond it."""


class Found(NamedTuple):
    """What became of one trajectory of a damaged shard."""

    place: int
    """Place in the shard."""
    id: str
    """Its id, or an empty text where that cannot be read."""
    pending: Pending | None
    """The trajectory, as it can be written again; None when it cannot be read at all."""
    fault: str
    """Why it is lost; empty for a sound one."""


class DamagedShard:
    """What can still be read of a damaged shard.

    The hash of a trajectory covers observations, rewards, actions and how it ended; it is compared
    for each. A number of the table that only says where these lie is tried and, where it does not
    lead to the hash, worked out from the others. Id, source, seed, age and metadata are covered by
    nothing but the checksum of the file.

    Args:
        path: the file.
        layout: where its arrays should be.

    Raises:
        CorpusError: not even the table can be read.
        FileNotFoundError: no such file.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        with _mended(path) as (file, self.cut):
            self._read(file)

    def _read(self, file: MappedFile) -> None:
        layout = self._layout
        self._digest = file.array("table/digest", "|u1", (-1, DIGEST_BYTES))
        n = len(self._digest)
        self._columns = {}
        for name, kind in COLUMNS.items():
            column = _attempt(file, f"table/{name}", kind, (n,))
            self._columns[name] = np.zeros(n, kind) if column is None else column
        steps = _attempt(file, "steps", "<f4", (-1, layout.width))
        self._steps = np.empty((0, layout.width), "<f4") if steps is None else steps
        self._fields: dict[str, np.ndarray | ChunkedField] = {}
        for spec in layout.apart:
            shape = (len(self._steps), *spec.shape)
            name, kind = f"fields/{spec.name}", stored_dtype(spec)
            field = _attempt(file, name, kind, shape, chunked=is_chunked(spec))
            if field is None:
                self._steps = self._steps[:0]
                field = np.empty((0, *spec.shape), kind)
            self._fields[spec.name] = field
        width = layout.action.size
        actions = _attempt(file, "actions", layout.action_dtype, (-1, width))
        self._actions = np.empty((0, width), layout.action_dtype) if actions is None else actions
        flags = _attempt(file, "action_observed", "|u1", (len(self._actions),))
        self._flags = np.ones(len(self._actions), bool) if flags is None else flags.view(bool)
        text = _attempt(file, "table/metadata", "|u1", (-1,))
        ends = _attempt(file, "table/metadata_end", "<i8", (n,))
        self._text = np.empty(0, np.uint8) if text is None else text
        self._ends = np.zeros(n, np.int64) if ends is None else ends

    def __len__(self) -> int:
        return len(self._digest)

    @property
    def counts(self) -> tuple[int, int]:
        """Trajectories and steps, as the table has them."""
        return len(self), int(self._columns["length"].sum())

    @property
    def first(self) -> int:
        """Place of its first trajectory in the corpus, as most of its rows say."""
        said = self._columns["ordinal"] - np.arange(len(self))
        values, counts = np.unique(said, return_counts=True)
        return int(values[np.argmax(counts)]) if len(values) else 0

    def __iter__(self) -> Iterator[Found]:
        """The trajectories, in order."""
        lengths = np.clip(self._columns["length"], 1, len(self._steps) + 1)
        rows = np.cumsum(lengths + 1) - (lengths + 1)
        taken = np.where(self._columns["labels"] == OBSERVED, lengths, 0)
        action_rows = np.cumsum(taken) - taken
        for i in range(len(self)):
            yield self._find(i, int(rows[i]), int(action_rows[i]))

    def _find(self, i: int, row: int, action_row: int) -> Found:
        column, digest = self._columns, self._digest[i].tobytes()
        name = column["id"][i : i + 1]
        identity = name[0].decode("ascii") if plain_ids(name).all() else ""
        best: Record | None = None
        try:
            for record in self._readings(i, row, action_row):
                best = best or record
                if record.digest == digest:
                    values = (record.steps, record.fields, record.actions, record.action_observed)
                    fault = next(value_faults(*values, self._layout), "")
                    return Found(i, identity or record.base_id, self._row(i, record), fault)
        except CorpusError as error:
            return Found(i, identity, None, f"{error.where}: {error.what}")
        if best is None:
            what = "nothing of it is left of the file" if self.cut else "its arrays cannot be read"
            return Found(i, identity, None, what)
        altered = "its content was altered: the hash differs"
        fault = "not all of it is left of the file" if self.cut else altered
        return Found(i, identity, self._row(i, best), fault)

    def _readings(self, i: int, row: int, action_row: int) -> Iterator[Record]:
        """The trajectory as the table says it is, then as it may have been before damage."""
        column = self._columns
        after = int(column["row"][i + 1]) if i + 1 < len(self) else len(self._steps)
        said = int(column["row"][i])
        rows = dict.fromkeys([said, row])
        for first, length in product(
            rows, dict.fromkeys([int(column["length"][i]), after - said - 1])
        ):
            if not (length >= 1 and first >= 0 and first + length + 1 <= len(self._steps)):
                continue
            taken = slice(first, first + length + 1)
            steps = self._steps[taken]
            fields = {name: np.asarray(field[taken]) for name, field in self._fields.items()}
            content = content_hash(steps, fields, self._layout)
            actions = self._action_readings(i, length, action_row)
            ends = (bool(column["terminated"][i] & 1), bool(column["truncated"][i] & 1))
            others = [end for end in product((False, True), repeat=2) if end != ends]
            for (values, observed), end in product(list(actions), [ends, *others]):
                yield Record(
                    base_id=content.hexdigest()[:16],
                    digest=full_digest(content, values, observed, *end),
                    steps=steps,
                    fields=fields,
                    actions=values,
                    action_observed=observed,
                    terminated=end[0],
                    truncated=end[1],
                    metadata=self._metadata(i),
                )

    def _action_readings(
        self, i: int, length: int, action_row: int
    ) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
        none = (None, np.zeros(length, bool))
        if self._columns["labels"][i] == MISSING:
            yield none
        for first in dict.fromkeys([int(self._columns["action_row"][i]), action_row]):
            if first >= 0 and first + length <= len(self._actions):
                taken = slice(first, first + length)
                yield self._actions[taken], self._flags[taken]
        if self._columns["labels"][i] != MISSING:
            yield none

    def _metadata(self, i: int) -> bytes:
        start, end = int(self._ends[i - 1]) if i else 0, int(self._ends[i])
        text = self._text[max(0, start) : max(0, end)].tobytes()
        return text if is_metadata(text) else b""

    def _row(self, i: int, record: Record) -> Pending:
        name = self._columns["id"][i : i + 1]
        identity = name[0].decode("ascii") if plain_ids(name).all() else record.base_id
        numbers = (int(self._columns[key][i]) for key in ("provenance", "agent_step", "seed"))
        return Pending(identity, record, *(max(-1, number) for number in numbers))


def manifest_in(path: Path) -> Manifest | None:
    """The copy of the manifest that a shard keeps, without shards; None where it has none."""
    try:
        with _mended(path) as (file, _):
            text = _attempt(file, ABOUT, "|u1", (-1,))
            return None if text is None else Manifest.model_validate_json(text.tobytes())
    except (CorpusError, ValueError, OSError):
        return None


@contextlib.contextmanager
def _mended(path: Path) -> Iterator[tuple[MappedFile, bool]]:
    """Open a shard that the HDF5 library may refuse; whether it lost its end.

    A file that is shorter than it says is read as if zeros followed, and one without a readable
    superblock with that of any other shard: they are all the same but for the length. What is
    mapped stays readable afterwards.
    """
    size = path.stat().st_size
    with path.open("rb") as start:
        block = start.read(SUPERBLOCK)
    end = int.from_bytes(block[END_OF_FILE], "little")
    cut = len(block) == SUPERBLOCK and size < end <= LONGEST
    if not cut and (file := _open(path)):
        yield file, False
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copyfile(path, Path(folder) / path.name))
        end = end if cut else size
        os.truncate(copy, end)
        with copy.open("r+b") as start:
            start.write(_superblock(end))
        yield MappedFile(copy), cut


def _open(path: Path) -> MappedFile | None:
    try:
        return MappedFile(path)
    except CorpusError:
        return None


def _superblock(size: int) -> bytes:
    """The first bytes of a shard of this size."""
    with h5py.File(
        "empty",
        "w",
        driver="core",
        backing_store=False,
        alignment_threshold=1,
        alignment_interval=ALIGNMENT,
    ) as file:
        block = bytearray(file.id.get_file_image()[:SUPERBLOCK])
    block[END_OF_FILE] = size.to_bytes(8, "little")
    return bytes(block)


def _attempt(
    file: MappedFile, name: str, kind: str | np.dtype, shape: tuple[int, ...], chunked: bool = False
) -> Any:
    """An array of a damaged file; None when it is not what it should be."""
    try:
        read = file.chunked if chunked else file.array
        return read(name, kind, shape)
    except CorpusError:
        return None
