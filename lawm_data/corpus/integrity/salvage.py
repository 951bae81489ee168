"""What can be kept of a shard: all of it, the file as it was written, or its sound trajectories.

A file is opened once, and what is found in it is carried along (``ShardReport``) until a repair
writes it: nothing is looked for twice.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from lawm_schemas import CorpusError, LawmError, Manifest, ShardInfo

from lawm_data.corpus.integrity.soundness import (
    is_metadata,
    trajectory_faults,
    unsound,
    value_faults,
)
from lawm_data.corpus.layout import Layout, is_chunked, stored_dtype
from lawm_data.corpus.shard import DIGEST_BYTES, OpenShard, plain_ids, read_shard
from lawm_data.corpus.table import COLUMNS, MISSING, OBSERVED, SEEDED, read_seeds
from lawm_data.corpus.writing.commit import Pending, to_parts
from lawm_data.corpus.writing.digest import content_hash, full_digest
from lawm_data.corpus.writing.encode import ABOUT, encode_shard
from lawm_data.corpus.writing.record import Record
from lawm_data.system.atomic import storage_errors
from lawm_data.system.hdf5 import ChunkedField, MappedFile, file_in_memory, open_file

SUPERBLOCK = 96
"""Bytes at the front of the HDF5 files that this package writes."""
END_OF_FILE = slice(40, 48)
"""Where a superblock of version 0 says how long the file should be."""
LONGEST = 1 << 36
"""Bytes; a damaged number is not believed beyond it."""
NAME_DIGITS = 32
"""How many digits of its checksum are the name of a shard."""


class Loss(NamedTuple):
    """A trajectory that cannot be restored."""

    shard: str
    id: str
    """Empty where it cannot be read."""
    what: str


class Original(NamedTuple):
    """How to make a damaged file again, byte for byte."""

    info: ShardInfo
    group: Sequence[Pending]
    first: int
    """Place of its first trajectory in the corpus."""
    about: Manifest
    """The copy of the manifest that was in it."""

    def encode(self, layout: Layout) -> memoryview:
        """The bytes of the file."""
        return encode_shard(to_parts(self.group, self.first, layout.apart), layout, self.about)


@dataclass(frozen=True, eq=False)
class ShardReport:
    """A shard and what of it can be kept, found out by reading it once."""

    file: str
    lost: Sequence[Loss] = ()
    info: ShardInfo | None = None
    """What the manifest should say of the file; None when it cannot stay, nor be made again."""
    first: int = -1
    """Place of its first trajectory in the corpus, before anything was lost."""
    ids: Sequence[bytes] = ()
    """Trajectories that are kept."""
    digest: Sequence[bytes] = ()
    complete: Sequence[bool] = ()
    """Whether every action of each is recorded."""
    opened: OpenShard | None = None
    """The shard, where it is sound as it is."""
    original: Original | None = None
    """The file as it was written, which can be made again as its name, a checksum, proves."""
    kept: Sequence[Pending] = ()
    """The sound trajectories of a damaged shard; pixels are read when they are written."""

    def __len__(self) -> int:
        return len(self.ids)


class ShardFile:
    """A file of a shard, opened once, whatever has happened to it.

    A file that is shorter than it says is read as if zeros followed, and one without a readable
    superblock with that of any other shard: they are all the same but for the length. What is
    mapped stays readable when the file is replaced.

    Args:
        path: the file.

    Raises:
        CorpusError: it is empty, or nothing in it can be read.
        FileNotFoundError: no such file.
        StorageError: the file system refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_file(path) as file, storage_errors(path):
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            self.size = file.tell()
            file.seek(0)
            start = file.read(SUPERBLOCK)
            end = int.from_bytes(start[END_OF_FILE], "little")
            self.cut = len(start) == SUPERBLOCK and self.size < end <= LONGEST
            """Whether it lost its end."""
            self.mapped = (None if self.cut else _open(path, file)) or _open_mended(
                path, file, end if self.cut else self.size
            )
        self.about = self._copy_of_manifest()
        """The copy of the manifest in it, without shards; None where it has none."""

    def is_named_after(self, sha256: str) -> bool:
        """Whether the name of the file, the beginning of its checksum, vouches for this content."""
        return len(self.path.stem) >= NAME_DIGITS and sha256.startswith(self.path.stem)

    @property
    def is_itself(self) -> bool:
        """Whether the name vouches for the content as it is."""
        return self.is_named_after(self.sha256)

    def info(self, trajectories: int, steps: int) -> ShardInfo:
        """What a manifest says of the file."""
        return ShardInfo(
            file=self.path.name,
            sha256=self.sha256,
            bytes=self.size,
            trajectories=trajectories,
            steps=steps,
        )

    def _copy_of_manifest(self) -> Manifest | None:
        text = _attempt(self.mapped, ABOUT, "|u1", (-1,))
        try:
            return None if text is None else Manifest.model_validate_json(text.tobytes())
        except ValueError:
            return None


class DamagedShard:
    """What can be read of a shard that may be damaged.

    The hash of a trajectory covers observations, rewards, actions and how it ended; it is compared
    for each. A number of the table that only says where these lie is tried and, where it does not
    lead to the hash, worked out from the others. Id, source, seed, age and metadata are covered by
    nothing but the checksum of the file.

    Args:
        file: the file.
        layout: where its arrays should be.

    Raises:
        CorpusError: not even the table can be read.
    """

    def __init__(self, file: ShardFile, layout: Layout) -> None:
        self.file, self.layout = file, layout
        mapped = file.mapped
        self._digest = mapped.array("table/digest", "|u1", (-1, DIGEST_BYTES))
        n = len(self._digest)
        if not n:
            raise CorpusError("holds no trajectory", str(file.path), "remove it")
        self._columns = {}
        for name, kind in COLUMNS.items():
            column = _attempt(mapped, f"table/{name}", kind, (n,))
            self._columns[name] = np.zeros(n, kind) if column is None else column
        seeded = _attempt(mapped, f"table/{SEEDED}", "|u1", (n,))
        self._seed, self._seeded = read_seeds(self._columns["seed"], seeded)
        steps = _attempt(mapped, "steps", "<f4", (-1, layout.width))
        self._steps = np.empty((0, layout.width), "<f4") if steps is None else steps
        self._fields: dict[str, np.ndarray | ChunkedField] = {}
        for spec in layout.apart:
            shape = (len(self._steps), *spec.shape)
            name, kind = f"fields/{spec.name}", stored_dtype(spec)
            field = _attempt(mapped, name, kind, shape, chunked=is_chunked(spec))
            if field is None:
                self._steps = self._steps[:0]
                field = np.empty((0, *spec.shape), kind)
            self._fields[spec.name] = field
        width = layout.action.size
        actions = _attempt(mapped, "actions", layout.action_dtype, (-1, width))
        self._actions = np.empty((0, width), layout.action_dtype) if actions is None else actions
        flags = _attempt(mapped, "action_observed", "|u1", (len(self._actions),))
        self._flags = np.ones(len(self._actions), bool) if flags is None else flags.view(bool)
        text = _attempt(mapped, "table/metadata", "|u1", (-1,))
        ends = _attempt(mapped, "table/metadata_end", "<i8", (n,))
        self._text = np.empty(0, np.uint8) if text is None else text
        self._ends = np.zeros(n, np.int64) if ends is None else ends

    def __len__(self) -> int:
        return len(self._digest)

    @property
    def steps(self) -> int:
        """Steps, as the table has them."""
        return int(self._columns["length"].sum())

    @property
    def first(self) -> int:
        """Place of its first trajectory in the corpus, as most of its rows say."""
        places = self._columns["ordinal"] - np.arange(len(self))
        values, counts = np.unique(places, return_counts=True)
        return int(values[np.argmax(counts)])

    def __iter__(self) -> Iterator[tuple[str, Pending | None, str]]:
        """Id, content and fault of each trajectory, in order.

        The id is empty and the content None where they cannot be read; a sound trajectory has no
        fault.
        """
        lengths = np.clip(self._columns["length"], 1, len(self._steps) + 1)
        rows = np.cumsum(lengths + 1) - (lengths + 1)
        taken = np.where(self._columns["labels"] == OBSERVED, lengths, 0)
        action_rows = np.cumsum(taken) - taken
        for i in range(len(self)):
            yield self._find(i, int(rows[i]), int(action_rows[i]))

    def _find(self, i: int, row: int, action_row: int) -> tuple[str, Pending | None, str]:
        column, digest = self._columns, self._digest[i].tobytes()
        name = column["id"][i : i + 1]
        identity = name[0].decode("ascii") if plain_ids(name).all() else ""
        best: Record | None = None
        try:
            for record in self._readings(i, row, action_row):
                best = best or record
                if record.digest == digest:
                    values = (record.steps, record.fields, record.actions, record.action_observed)
                    fault = next(value_faults(*values, self.layout), "")
                    return identity or record.base_id, self._row(i, identity, record), fault
        except CorpusError as error:
            return identity, None, f"{error.where}: {error.what}"
        if best is None:
            what = (
                "nothing of it is left of the file"
                if self.file.cut
                else "its arrays cannot be read"
            )
            return identity, None, what
        altered = "its content was altered: the hash differs"
        fault = "not all of it is left of the file" if self.file.cut else altered
        return identity, self._row(i, identity, best), fault

    def _readings(self, i: int, row: int, action_row: int) -> Iterator[Record]:
        """The trajectory as the table says it is, then as it may have been before damage."""
        column = self._columns
        after = int(column["row"][i + 1]) if i + 1 < len(self) else len(self._steps)
        stated = int(column["row"][i])
        for first, length in product(
            dict.fromkeys([stated, row]),
            dict.fromkeys([int(column["length"][i]), after - stated - 1]),
        ):
            if not (length >= 1 and first >= 0 and first + length + 1 <= len(self._steps)):
                continue
            taken = slice(first, first + length + 1)
            steps = self._steps[taken]
            fields = {name: field[taken] for name, field in self._fields.items()}
            content = content_hash(steps, fields, self.layout)
            # pictures are many times as large as they are stored: they are read again when written
            light = {
                name: field.between(taken.start, taken.stop)
                if isinstance(field, ChunkedField)
                else fields[name]
                for name, field in self._fields.items()
            }
            actions = self._action_readings(i, length, action_row)
            ends = (bool(column["terminated"][i] & 1), bool(column["truncated"][i] & 1))
            others = [end for end in product((False, True), repeat=2) if end != ends]
            for (values, observed), end in product(list(actions), [ends, *others]):
                yield Record(
                    base_id=content.hexdigest()[:16],
                    digest=full_digest(content, values, observed, *end),
                    steps=steps,
                    fields=light,
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

    def _row(self, i: int, identity: str, record: Record) -> Pending:
        source, step = (max(-1, int(self._columns[k][i])) for k in ("provenance", "agent_step"))
        seed = int(self._seed[i]) if self._seeded[i] else -1
        return Pending(identity or record.base_id, record, source, step, seed)


def examine(shard: DamagedShard, manifest: Manifest, info: ShardInfo) -> ShardReport:
    """Look at every byte of a shard; whatever is wrong with it ends up in the report.

    Args:
        shard: the shard, damaged or not.
        manifest: of the corpus.
        info: what it says of the shard.
    """
    sources = len(manifest.provenance)
    actual = actual_info(shard, info)
    opened = None if actual is None else _sound(shard, actual, sources)
    if opened is not None:
        column = opened.columns
        whole = (column["labels"] == OBSERVED) & (column["num_observed"] == column["length"])
        return ShardReport(
            info.file,
            info=actual,
            first=int(column["ordinal"][0]),
            ids=column["id"].tolist(),
            digest=[row.tobytes() for row in column["digest"]],
            complete=whole.tolist(),
            opened=opened,
        )
    found = list(shard)
    original = _original(shard, found, manifest)
    if original is not None:
        return _salvaged(info.file, original.group, original=original, first=original.first)
    # a source that cannot be told any more is one beyond the last
    kept = [
        one if 0 <= one.provenance < sources else one._replace(provenance=sources)
        for _, one, fault in found
        if one is not None and not fault
    ]
    lost = [Loss(info.file, identity, fault) for identity, _, fault in found if fault]
    return _salvaged(info.file, kept, lost=lost, first=shard.first)


def unreadable(info: ShardInfo, what: str) -> ShardReport:
    """The report of a shard of which nothing is left."""
    return ShardReport(info.file, lost=[Loss(info.file, "", what)] * info.trajectories)


def actual_info(shard: DamagedShard, info: ShardInfo | None = None) -> ShardInfo | None:
    """What the manifest should say of a file; None when neither it nor the name vouches for it."""
    file = shard.file
    if file.is_itself and shard.steps > 0:
        return file.info(len(shard), shard.steps)
    same = info is not None and (file.sha256, file.size) == (info.sha256, info.bytes)
    return info if same else None


def _salvaged(
    file: str,
    kept: Sequence[Pending],
    first: int,
    lost: Sequence[Loss] = (),
    original: Original | None = None,
) -> ShardReport:
    return ShardReport(
        file,
        lost=lost,
        info=original and original.info,
        first=first,
        ids=[one.id.encode() for one in kept],
        digest=[one.record.digest for one in kept],
        complete=[bool(one.record.action_observed.all()) for one in kept],
        original=original,
        kept=kept,
    )


def _sound(shard: DamagedShard, info: ShardInfo, sources: int) -> OpenShard | None:
    """The shard, if all of it is sound."""
    try:
        opened = read_shard(shard.file.mapped, info, shard.layout, sources)
    except LawmError:
        return None
    if any(any(trajectory_faults(opened, i, shard.layout)) for i in unsound(opened, shard.layout)):
        return None
    opened.shard.release_memory()
    return opened


def _original(
    shard: DamagedShard, found: Sequence[tuple[str, Pending | None, str]], manifest: Manifest
) -> Original | None:
    """The file as it was written, when the damage spared everything that cannot be worked out.

    A shard is named after its checksum, and the same content gives the same bytes. So whatever
    could have been in the damaged places is tried, and the name tells whether it was.
    """
    file = shard.file
    group = [pending for _, pending, _ in found if pending is not None]
    sources = len(manifest.provenance)
    if len(group) < len(found) or any(one.provenance >= sources for one in group):
        return None  # something is lost, or the corpus knows nothing of a source any more
    named = [
        one if one.id.startswith(one.record.base_id) else one._replace(id=one.record.base_id)
        for one in group
    ]
    groups = [group] if named == group else [group, named]
    before = itertools.takewhile(lambda info: info.file != file.path.name, manifest.shards)
    places = dict.fromkeys([shard.first, sum(info.trajectories for info in before)])
    abouts = [about for about in (file.about, manifest) if about is not None]
    for some, first, about in product(groups, places, abouts):
        parts = to_parts(some, first, shard.layout.apart)
        data = encode_shard(parts, shard.layout, about)
        checksum = hashlib.sha256(data).hexdigest()
        if file.is_named_after(checksum):
            info = ShardInfo(
                file=file.path.name,
                sha256=checksum,
                bytes=len(data),
                trajectories=len(some),
                steps=int(parts.columns["length"].sum()),
            )
            return Original(info, some, first, about)
    return None


def _open(path: Path, content: BinaryIO) -> MappedFile | None:
    try:
        return MappedFile(path, content=content)
    except CorpusError:
        return None


def _open_mended(path: Path, file: BinaryIO, size: int) -> MappedFile:
    """Open a nameless copy of a file that the HDF5 library refuses; it may read something of it."""
    with tempfile.TemporaryFile() as copy:
        file.seek(0)
        shutil.copyfileobj(file, copy)
        copy.truncate(size)
        copy.seek(0)
        copy.write(_superblock(size))
        copy.flush()
        return MappedFile(path, content=copy)


def _superblock(size: int) -> bytes:
    """The first bytes of a shard of this size."""
    with file_in_memory() as file:
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
