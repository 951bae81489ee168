"""Putting small shards together, so that a corpus of many commits stays quick to open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from lawm_schemas import ShardInfo

from lawm_data.corpus.encode import Parts
from lawm_data.corpus.layout import Layout
from lawm_data.corpus.shard import OpenShard

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
    metadata = []
    for part in opened:
        text, ends = part.metadata.tobytes(), part.metadata_end.tolist()
        metadata += [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
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
        metadata=metadata,
    )
