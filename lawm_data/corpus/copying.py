"""Trajectories on their way from one corpus into another as they are, in runs of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lawm_data.corpus.encode import Parts, Pieces
from lawm_data.corpus.store import Store
from lawm_data.corpus.table import OBSERVED, SEEDED


def parts_of(
    store: Store,
    positions: np.ndarray,
    ids: Sequence[str],
    sources: np.ndarray,
    ordinal: int,
    limit: int,
) -> Iterator[Parts]:
    """Trajectories of a store, actions and digests included, as the content of shards.

    Args:
        store: where they are; its checksums were compared.
        positions: (N,) which of its trajectories, in the new order.
        ids: what they are called in the new corpus.
        sources: place there of each source of the store.
        ordinal: place there of the first trajectory.
        limit: a shard is full with so many bytes of arrays, uncompressed.
    """
    sizes = np.cumsum(_sizes(store, positions))
    start = 0
    while start < len(positions):
        begun = sizes[start - 1] if start else 0
        stop = min(int(np.searchsorted(sizes, begun + limit)) + 1, len(positions))
        chosen = positions[start:stop]
        yield _parts(store, chosen, ids[start:stop], sources, ordinal + start)
        start = stop


def _sizes(store: Store, positions: np.ndarray) -> np.ndarray:
    """(N,) bytes of each trajectory as ``Record.nbytes`` counts them."""
    layout, length = store.layout, store.table.length[positions]
    row = 4 * layout.width
    row += sum(spec.size * np.dtype(spec.dtype).itemsize for spec in layout.apart)
    action = layout.action.size * layout.action_dtype.itemsize
    recorded = store.table.labels[positions] == OBSERVED
    return (length + 1) * row + np.where(recorded, length * action, 0)


def _parts(
    store: Store, positions: np.ndarray, ids: Sequence[str], sources: np.ndarray, ordinal: int
) -> Parts:
    index, table = store.index, store.table
    steps: list[np.ndarray] = []
    actions: list[np.ndarray] = []
    observed: list[np.ndarray] = []
    fields: dict[str, list] = {spec.name: [] for spec in store.layout.apart}
    shard_of = index.shard[positions]
    breaks = np.flatnonzero((np.diff(positions) != 1) | (np.diff(shard_of) != 0)) + 1
    for run in np.split(positions, breaks):
        first, last = int(run[0]), int(run[-1])
        shard = store.shards[index.shard[first]]
        rows = slice(int(index.row[first]), int(index.row[last] + index.length[last] + 1))
        steps.append(shard.steps[rows])
        for name, pieces in fields.items():
            field = shard.fields[name]
            whole = isinstance(field, np.ndarray)
            pieces.append(field[rows] if whole else field.between(rows.start, rows.stop))
        recorded = run[index.action_row[run] >= 0]
        if len(recorded) and shard.actions is not None:
            taken = slice(
                int(index.action_row[recorded[0]]),
                int(index.action_row[recorded[-1]] + index.length[recorded[-1]]),
            )
            actions.append(shard.actions[taken])
            flags = shard.action_observed
            observed.append(np.ones(len(actions[-1]), bool) if flags is None else flags[taken])
    columns = {
        "id": np.array([name.encode() for name in ids]),
        "ordinal": np.arange(ordinal, ordinal + len(positions)),
        "length": table.length[positions],
        "num_observed": table.num_observed[positions],
        "labels": table.labels[positions],
        "terminated": table.terminated[positions],
        "truncated": table.truncated[positions],
        "episode_return": table.episode_return[positions],
        "provenance": sources[table.provenance[positions]],
        "agent_step": table.agent_step[positions],
        "seed": table.seed[positions],
        SEEDED: table.seeded[positions],
        "digest": store.digest[positions],
    }
    bare = (table.metadata.end == table.metadata.start)[positions].all()
    texts = [b""] * len(positions) if bare else [*map(table.metadata.text, positions.tolist())]
    apart: dict[str, Pieces] = dict(fields)
    return Parts(steps, actions, observed, apart, columns, texts)
