"""Which files of a corpus are sound, and what is left of those that are not."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from itertools import product
from pathlib import Path
from typing import NamedTuple

from lawm_schemas import CorpusError, LawmError, Manifest, ShardInfo

from lawm_data.corpus.commit import Pending, to_parts
from lawm_data.corpus.encode import encode_shard
from lawm_data.corpus.integrity.salvage import DamagedShard, manifest_in
from lawm_data.corpus.integrity.soundness import trajectory_faults
from lawm_data.corpus.layout import Layout
from lawm_data.corpus.shard import OpenShard, open_shard
from lawm_data.corpus.store import SHARDS
from lawm_data.corpus.table import OBSERVED
from lawm_data.system.atomic import sha256_file


class Loss(NamedTuple):
    """A trajectory that cannot be restored."""

    shard: str
    id: str
    """Empty where it cannot be read."""
    what: str


class ShardReport(NamedTuple):
    """A shard and what of it can be kept."""

    file: str
    info: ShardInfo | None
    """What the manifest should say of the file as it is; None when it cannot stay as it is."""
    first: int
    """Place of its first trajectory in the corpus, before anything was lost."""
    ids: list[bytes]
    """Trajectories that are kept."""
    digest: list[bytes]
    complete: list[bool]
    """Whether every action of each is recorded."""
    lost: list[Loss]
    restored: bool = False
    """The file as it was written can be made again, as its name, a checksum, proves."""
    sourceless: bool = False
    """Some of its trajectories have lost their source."""

    def __len__(self) -> int:
        return len(self.ids)


def examine(path: Path, info: ShardInfo, layout: Layout, manifest: Manifest) -> ShardReport:
    """Look at every byte of a shard; whatever is wrong with it ends up in the piece."""
    file = path / SHARDS / info.file
    if not file.is_file():
        what = "its shard is a folder" if file.is_dir() else "its shard is missing"
        lost = [Loss(info.file, "", what)] * info.trajectories
        return ShardReport(info.file, None, -1, [], [], [], lost)
    actual = describe(file, layout, info)
    opened = None if actual is None else _open(file, actual, layout, manifest)
    if opened is not None:
        column = opened.columns
        done = column["num_observed"] == column["length"]
        return ShardReport(
            info.file,
            actual,
            int(column["ordinal"][0]),
            column["id"].tolist(),
            [row.tobytes() for row in column["digest"]],
            ((column["labels"] == OBSERVED) & done).tolist(),
            [],
        )
    return _salvaged(file, layout, manifest, info.trajectories)


def describe(file: Path, layout: Layout, info: ShardInfo | None = None) -> ShardInfo | None:
    """What the manifest should say of a file; None when neither it nor the name vouches for it."""
    checksum, size = sha256_file(file), file.stat().st_size
    if checksum[: len(file.stem)] == file.stem:
        with contextlib.suppress(CorpusError):
            return _info(file.name, checksum, size, *DamagedShard(file, layout).counts)
    same = info is not None and (checksum, size) == (info.sha256, info.bytes)
    return info if same else None


def kept(file: Path, layout: Layout, sources: int) -> tuple[list[Pending], list[Loss]]:
    """The sound trajectories of a damaged shard, and the others.

    A source that cannot be told any more is ``sources``, one beyond the last.
    """
    sound, lost = [], []
    for found in DamagedShard(file, layout):
        if found.fault or found.pending is None:
            lost.append(Loss(file.name, found.id, found.fault))
        else:
            known = 0 <= found.pending.provenance < sources
            place = found.pending.provenance if known else sources
            sound.append(found.pending._replace(provenance=place))
    return sound, lost


class Original(NamedTuple):
    """A damaged file as it was written."""

    info: ShardInfo
    content: memoryview
    first: int
    """Place of its first trajectory in the corpus."""
    group: list[Pending]


def original(file: Path, layout: Layout, manifest: Manifest) -> Original | None:
    """The file as it was written, when the damage spared everything that cannot be worked out.

    A shard is named after its checksum, and the same content gives the same bytes. So whatever
    could have been in the damaged places is tried, and the name tells whether it was.
    """
    remains = DamagedShard(file, layout)
    found = [one.pending for one in remains]
    group = [pending for pending in found if pending is not None]
    if not group or len(group) < len(found):
        return None
    named = [
        one if one.id.startswith(one.record.base_id) else one._replace(id=one.record.base_id)
        for one in group
    ]
    groups = [group] if named == group else [group, named]
    places = dict.fromkeys([remains.first, _listed_first(file, manifest)])
    abouts = [about for about in (manifest_in(file), manifest) if about is not None]
    for some, first, about in product(groups, places, abouts):
        parts = to_parts(some, first, layout.apart)
        data = encode_shard(parts, layout, about)
        checksum = hashlib.sha256(data).hexdigest()
        if checksum[: len(file.stem)] == file.stem:
            steps = int(parts.columns["length"].sum())
            info = _info(file.name, checksum, len(data), len(some), steps)
            return Original(info, data, first, some)
    return None


def _listed_first(file: Path, manifest: Manifest) -> int:
    """Place of a shard's first trajectory, as the manifest has it."""
    before = itertools.takewhile(lambda info: info.file != file.name, manifest.shards)
    return sum(info.trajectories for info in before)


def _info(name: str, checksum: str, size: int, trajectories: int, steps: int) -> ShardInfo:
    return ShardInfo(file=name, sha256=checksum, bytes=size, trajectories=trajectories, steps=steps)


def _open(file: Path, info: ShardInfo, layout: Layout, manifest: Manifest) -> OpenShard | None:
    """The shard, if all of it is sound."""
    try:
        opened = open_shard(file, info, layout, len(manifest.provenance))
    except LawmError:
        return None
    if any(any(trajectory_faults(opened, i, layout)) for i in range(info.trajectories)):
        return None
    return opened


def _salvaged(file: Path, layout: Layout, manifest: Manifest, count: int) -> ShardReport:
    try:
        whole = original(file, layout, manifest)
        sound, lost = kept(file, layout, len(manifest.provenance))
        first = DamagedShard(file, layout).first
    except CorpusError as error:
        lost = [Loss(file.name, "", f"its shard cannot be read: {error.what}")] * count
        return ShardReport(file.name, None, -1, [], [], [], lost)
    if whole is not None:
        sound, lost, first = whole.group, [], whole.first
    records = [one.record for one in sound]
    return ShardReport(
        file.name,
        None if whole is None else whole.info,
        first,
        [one.id.encode() for one in sound],
        [record.digest for record in records],
        [bool(record.action_observed.all()) for record in records],
        lost,
        whole is not None,
        whole is None and any(one.provenance == len(manifest.provenance) for one in sound),
    )
