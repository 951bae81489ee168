"""Whether the trajectories of a shard are what was written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np
from lawm_schemas import LawmError

from lawm_data.corpus.layout import Layout
from lawm_data.corpus.shard import OpenShard
from lawm_data.corpus.table import OBSERVED
from lawm_data.corpus.writing.blocks import alike, read_block
from lawm_data.corpus.writing.digest import block_digests, content_hash, full_digest
from lawm_data.corpus.writing.record import beyond_bounds
from lawm_data.system.hdf5 import ChunkedField


def unsound(part: OpenShard, layout: Layout) -> list[int]:
    """Places of trajectories that ``trajectory_faults`` has to look at; the others are sound."""
    column, shard = part.columns, part.shard
    wrong = ~_with_metadata(part)
    for places in alike(shard, column, layout):
        try:
            block = read_block(shard, column, places)
        except LawmError:
            wrong[places] = True
            continue
        flat = {name: array.reshape(-1, *array.shape[2:]) for name, array in block.fields.items()}
        actions, seen = block.actions, block.observed.reshape(-1)
        actions = None if actions is None else actions.reshape(-1, actions.shape[-1])
        steps = block.steps.reshape(-1, layout.width)
        wrong[places] |= any(value_faults(steps, flat, actions, seen, layout))
        earned = block.steps[:, :, -1].sum(axis=1, dtype=np.float64)
        ends = column["terminated"][places], column["truncated"][places]
        _, digest = block_digests(block, layout, *ends)
        wrong[places] |= (
            (block.observed.sum(axis=1) != column["num_observed"][places])
            | (earned != column["episode_return"][places])
            | (digest != column["digest"][places]).any(axis=1)
        )
    return np.flatnonzero(wrong).tolist()


def _with_metadata(part: OpenShard) -> np.ndarray:
    """(n,) bool: whose metadata can be read."""
    count = len(part.metadata_end)
    if not len(part.metadata):
        return np.ones(count, bool)
    return np.array([is_metadata(metadata_of(part, i)) for i in range(count)], bool)


def trajectory_faults(part: OpenShard, i: int, layout: Layout) -> Iterator[str]:
    """Everything that is wrong with trajectory ``i`` of a shard, in words."""
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
    yield from value_faults(steps, fields, actions, observed, layout)
    if column["episode_return"][i] != steps[:, -1].sum(dtype=np.float64):
        yield "its return is not the sum of its rewards"
    if not is_metadata(metadata_of(part, i)):
        yield "its metadata is not a JSON object"
    done = bool(column["terminated"][i]), bool(column["truncated"][i])
    content = content_hash(steps, fields, layout)
    if full_digest(content, actions, observed, *done) != column["digest"][i].tobytes():
        yield "its content was altered: the hash differs"


def value_faults(
    steps: np.ndarray,
    fields: Mapping[str, np.ndarray | ChunkedField],
    actions: np.ndarray | None,
    observed: np.ndarray,
    layout: Layout,
) -> Iterator[str]:
    """Values that no writer of this package would have let through, in words."""
    if actions is not None:
        if actions[~observed].any():
            yield "values are stored for actions that were not observed"
        if _not_finite(actions):
            yield "an action is not a finite number"
        shaped = actions[observed].reshape(-1, *layout.action.shape)
        if beyond_bounds(shaped, layout.action).any():
            yield "an action is outside the bounds of the action spec"
    if _not_finite(steps) or any(_not_finite(field) for field in fields.values()):
        yield "an observation or a reward is not a finite number"


def metadata_of(part: OpenShard, i: int) -> bytes:
    """The stored JSON of a trajectory; empty where there is none."""
    start = int(part.metadata_end[i - 1]) if i else 0
    return part.metadata[start : int(part.metadata_end[i])].tobytes()


def is_metadata(text: bytes) -> bool:
    """Whether stored metadata can be read."""
    try:
        return not text or isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _not_finite(array: np.ndarray | ChunkedField) -> bool:
    # what is compressed are pixels, which are whole numbers
    if isinstance(array, ChunkedField) or array.dtype.kind != "f":
        return False
    return not np.isfinite(array).all()
