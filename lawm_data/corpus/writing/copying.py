"""Trajectories on their way from one corpus into another, in runs of rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from lawm_data.corpus.layout import Layout
from lawm_data.corpus.shard import Shard
from lawm_data.corpus.store import Store
from lawm_data.corpus.table import MISSING, OBSERVED, SEEDED
from lawm_data.corpus.writing.digest import digests
from lawm_data.corpus.writing.encode import Parts, Pieces, offsets


def parts_of(
    store: Store,
    positions: np.ndarray,
    ids: Sequence[str],
    sources: np.ndarray,
    ordinal: int,
    limit: int,
    layout: Layout | None = None,
) -> Iterator[Parts]:
    """Trajectories of a store as the content of shards.

    Args:
        store: where they are; its checksums were compared.
        positions: (N,) which of its trajectories, in the new order.
        ids: what they are called in the new corpus.
        sources: place there of each source of the store.
        ordinal: place there of the first trajectory.
        limit: a shard is full with so many bytes of arrays, uncompressed.
        layout: of the new corpus, whose arrays the store has too, in their types; hashes are made
            anew. None takes everything over as it is, hashes included.
    """
    sizes = np.cumsum(_sizes(store, positions, layout or store.layout))
    start = 0
    while start < len(positions):
        begun = sizes[start - 1] if start else 0
        stop = min(int(np.searchsorted(sizes, begun + limit)) + 1, len(positions))
        chosen = positions[start:stop]
        parts = _parts(store, chosen, ids[start:stop], sources, ordinal + start)
        if layout is not None:
            parts = _anew(parts, store.layout, layout, store.table.rewarded[chosen])
        yield parts
        start = stop


def _sizes(store: Store, positions: np.ndarray, layout: Layout) -> np.ndarray:
    """(N,) bytes of each trajectory as ``Record.nbytes`` counts them."""
    length = store.table.length[positions]
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
    fields: dict[str, list] = {spec.name: [] for spec in store.layout.apart}
    for number, rows in _runs(index.shard, index.row, index.length + 1, positions):
        shard = store.shards[number]
        steps.append(shard.steps[rows])
        for name, pieces in fields.items():
            field = shard.fields[name]
            whole = isinstance(field, np.ndarray)
            pieces.append(field[rows] if whole else field.between(rows.start, rows.stop))
    actions: list[np.ndarray] = []
    observed: list[np.ndarray] = []
    recorded = positions[index.action_row[positions] >= 0]
    for number, rows in _runs(index.shard, index.action_row, index.length, recorded):
        shard = store.shards[number]
        if shard.actions is not None:
            flags = shard.action_observed
            actions.append(shard.actions[rows])
            observed.append(np.ones(len(actions[-1]), bool) if flags is None else flags[rows])
    labels = table.labels[positions]
    columns = {
        "id": np.array([name.encode() for name in ids]),
        "ordinal": np.arange(ordinal, ordinal + len(positions)),
        "length": table.length[positions],
        "num_observed": table.num_observed[positions],
        # what a view hides, or fills with inferred actions, is missing in a copy of it
        "labels": np.where(labels == OBSERVED, labels, np.uint8(MISSING)),
        "terminated": table.terminated[positions],
        "truncated": table.truncated[positions],
        "episode_return": table.episode_return[positions],
        "provenance": sources[table.provenance[positions]],
        "agent_step": table.agent_step[positions],
        "seed": table.seed[positions],
        SEEDED: table.seeded[positions],
        "digest": store.digest[positions],
    }
    texts = table.metadata.take(positions).texts()
    apart: dict[str, Pieces] = dict(fields)
    return Parts(steps, actions, observed, apart, columns, texts)


def _runs(
    shard: np.ndarray, first: np.ndarray, count: np.ndarray, positions: np.ndarray
) -> Iterator[tuple[int, slice]]:
    """Shard and rows of trajectories, those joined that lie end to end.

    Args:
        shard: (M,) place of the shard of each trajectory.
        first: (M,) its first row there.
        count: (M,) how many it has.
        positions: (N,) the trajectories.
    """
    shard, first = shard[positions], first[positions]
    end = first + count[positions]
    apart = (shard[1:] != shard[:-1]) | (first[1:] != end[:-1])
    edges = np.concatenate([[0], np.flatnonzero(apart) + 1, [len(positions)]])
    for begin, stop in itertools.pairwise(edges.tolist()):
        if begin < stop:  # else there are none
            yield int(shard[begin]), slice(int(first[begin]), int(end[stop - 1]))


def _anew(parts: Parts, before: Layout, layout: Layout, rewarded: np.ndarray) -> Parts:
    """The same trajectories with the arrays of a layout alone, and the hashes of these.

    Rewards that are not to be told are zeros, and so are actions that were not observed.
    """
    columns = dict(parts.columns)
    place = {spec.name: part for spec, part in before.packed}
    steps = np.concatenate(parts.steps)
    if layout.packed != before.packed:
        kept = [np.arange(before.width)[place[spec.name]] for spec, _ in layout.packed]
        steps = steps[:, np.concatenate([*kept, [before.width - 1]])]
    steps[~np.repeat(rewarded, columns["length"] + 1), -1] = 0
    columns["episode_return"] = np.where(rewarded, columns["episode_return"], 0.0)
    actions = observed = None
    if parts.actions:
        actions, observed = np.concatenate(parts.actions), np.concatenate(parts.action_observed)
        actions[~observed] = 0
    fields = {
        spec.name: np.concatenate([piece[:] for piece in parts.fields[spec.name]])
        for spec in layout.apart
    }
    shard = Shard(steps, actions, observed, fields, lambda: None)
    rows = offsets(columns["length"], columns["labels"] == OBSERVED)
    columns["digest"] = digests(shard, columns | rows, layout)
    return Parts(
        steps=[steps],
        actions=[] if actions is None else [actions],
        action_observed=[] if observed is None else [observed],
        fields={name: [array] for name, array in fields.items()},
        columns=columns,
        metadata=parts.metadata,
    )
