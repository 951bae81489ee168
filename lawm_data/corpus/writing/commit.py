"""Trajectories that were added to a corpus and not yet committed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, CorpusError, Provenance, ShardInfo
from pydantic_core import PydanticSerializationError

from lawm_data.corpus.layout import Layout
from lawm_data.corpus.shard import OpenShard
from lawm_data.corpus.table import ID_BYTES, MISSING, OBSERVED, SEEDED
from lawm_data.corpus.writing.encode import Parts
from lawm_data.corpus.writing.record import Record

SHARD_BYTES = 128 << 20
"""Size that shards grow to. They are made in memory, beside what they are made of."""
COMMIT_BYTES = SHARD_BYTES // 2
"""Bytes of trajectories that a conversion holds before it commits them: a shard of half the target
is left alone, so that nothing is written twice."""
FAN_IN = 16
"""Shards of about one size that are put together while a writer is still at work."""
SMALLEST = 1 << 16
"""Bytes of the lowest tier; each tier is FAN_IN times as large as the one below."""


def plan_all(shards: Sequence[ShardInfo], target: int = SHARD_BYTES) -> list[slice]:
    """Runs of neighbours to merge when a writer closes; neighbours keep trajectories in order.

    Shards of half the target are left alone: appending a little never rewrites a lot.
    """
    runs, start, size = [], 0, 0
    for i, shard in enumerate(shards):
        large = 2 * shard.bytes >= target
        if large or size + shard.bytes > target:
            runs.append(slice(start, i))
            start, size = i + large, 0
        if not large:
            size += shard.bytes
    runs.append(slice(start, len(shards)))
    return [run for run in runs if run.stop - run.start > 1]


def plan_latest(shards: Sequence[ShardInfo], target: int = SHARD_BYTES) -> slice | None:
    """The newest FAN_IN or more shards of one tier or below, if there are so many.

    Every byte is rewritten once per tier, and at most FAN_IN shards per tier are ever there.
    """
    limit = SMALLEST
    while limit <= target:
        run = len(shards)
        while run and shards[run - 1].bytes < limit:
            run -= 1
        if len(shards) - run >= FAN_IN:
            return slice(run, len(shards))
        limit *= FAN_IN
    return None


def merge(opened: Sequence[OpenShard], layout: Layout) -> Parts:
    """The content of consecutive shards as that of one."""
    with_actions = [part.shard for part in opened if part.shard.actions is not None]
    names = [name for name in opened[0].columns if name not in ("row", "action_row")]
    return Parts(
        steps=[part.shard.steps for part in opened],
        actions=[shard.actions for shard in with_actions if shard.actions is not None],
        action_observed=[
            np.ones(len(shard.actions), bool)
            if shard.action_observed is None
            else shard.action_observed
            for shard in with_actions
            if shard.actions is not None
        ],
        fields={
            spec.name: [part.shard.fields[spec.name] for part in opened] for spec in layout.apart
        },
        columns={name: np.concatenate([part.columns[name] for part in opened]) for name in names},
        metadata=[text for part in opened for text in part.metadata_texts()],
    )


class Pending(NamedTuple):
    """A record and its place in the table."""

    id: str
    record: Record
    provenance: int
    agent_step: int
    """-1 where unknown."""
    seed: int
    """-1 where unknown."""


def groups(pending: Sequence[Pending]) -> Iterator[Sequence[Pending]]:
    """Consecutive trajectories in groups of about a shard's size."""
    group: list[Pending] = []
    size = 0
    for item in pending:
        if group and size + item.record.nbytes > SHARD_BYTES:
            yield group
            group, size = [], 0
        group.append(item)
        size += item.record.nbytes
    yield group


def to_parts(group: Sequence[Pending], ordinal: int, apart: Sequence[ArraySpec]) -> Parts:
    """A group as the content of a shard.

    Args:
        group: the trajectories.
        ordinal: place of the first one in the corpus.
        apart: the arrays that have datasets of their own.
    """
    records = [item.record for item in group]
    recorded = [record for record in records if record.actions is not None]
    columns = {
        "id": [item.id.encode() for item in group],
        "ordinal": range(ordinal, ordinal + len(group)),
        "length": [len(record) for record in records],
        "num_observed": [int(record.action_observed.sum()) for record in records],
        "labels": [MISSING if record.actions is None else OBSERVED for record in records],
        "terminated": [record.terminated for record in records],
        "truncated": [record.truncated for record in records],
        "episode_return": [record.steps[:, -1].sum(dtype=np.float64) for record in records],
        "provenance": [item.provenance for item in group],
        "agent_step": [item.agent_step for item in group],
        "seed": np.array([max(0, item.seed) for item in group], np.uint64),
        SEEDED: [item.seed >= 0 for item in group],
        "digest": [np.frombuffer(record.digest, np.uint8) for record in records],
    }
    return Parts(
        steps=[record.steps for record in records],
        actions=[record.actions for record in recorded if record.actions is not None],
        action_observed=[record.action_observed for record in recorded],
        fields={spec.name: [record.fields[spec.name] for record in records] for spec in apart},
        columns={name: np.array(values) for name, values in columns.items()},
        metadata=[record.metadata for record in records],
    )


def whole_number(number: int | None, name: str, bits: int) -> int:
    """A seed or an age; -1 stands for none.

    Raises:
        CorpusError: it is not a whole number of 0 or more, or needs more bits.
    """
    if number is None:
        return -1
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise CorpusError(f"{number!r} is not a whole number", name, "give 0 or more")
    if not 0 <= number < 1 << bits:
        hint = f"give a whole number from 0 to 2**{bits} - 1"
        raise CorpusError(f"{number} is out of range", name, hint)
    return int(number)


class TakenIds:
    """Ids of trajectories that are taken, and free ones like them.

    Args:
        ids: those that are taken at first.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids = set(ids)
        self._next: dict[str, int] = {}

    def take(self, name: str) -> str:
        """The id itself, or with the first suffix that makes it one of its own."""
        if name not in self._ids:
            self._ids.add(name)
            return name
        free, number = name, self._next.get(name, 2)
        while free in self._ids:
            suffix = f"-{number}"
            free, number = name[: ID_BYTES - len(suffix)] + suffix, number + 1
        self._next[name] = number  # many may share a name: the search goes on where it ended
        self._ids.add(free)
        return free

    def __len__(self) -> int:
        return len(self._ids)


class Sources:
    """The sources of a corpus, each once.

    Args:
        sources: those that it has at first.
    """

    def __init__(self, sources: Sequence[Provenance]) -> None:
        self._all = list(sources)
        self._places: dict[str, int] = {}
        for place, source in enumerate(sources):
            self._places.setdefault(source.to_json(), place)

    def place(self, source: Provenance) -> int:
        """Where it stands among them; one that is new is added.

        Raises:
            CorpusError: it holds something that is not plain JSON.
        """
        try:
            key = source.to_json()
        except PydanticSerializationError as error:
            raise CorpusError(
                f"is not plain JSON ({error})", "provenance", "keep it plain"
            ) from None
        place = self._places.setdefault(key, len(self._all))
        if place == len(self._all):
            self._all.append(source)
        return place

    def all(self) -> tuple[Provenance, ...]:
        """In the order in which they came."""
        return tuple(self._all)
