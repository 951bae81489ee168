"""Content hashes of many trajectories at once are those of one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Role

from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.shard import open_shard
from lawm_data.corpus.writing.blocks import alike, read_block
from lawm_data.corpus.writing.digest import block_digests, content_hash, digests, full_digest

STATE = (
    ArraySpec(name="position", shape=(3,)),
    ArraySpec(name="touch", shape=(), dtype="bool"),
    ArraySpec(name="velocity", shape=(2, 2)),
    ArraySpec(name="count", shape=(2,), dtype="int16"),
)
WIDE = ArraySpec(name="physics", shape=(9000,), dtype="float64", role=Role.physics)
CAMERA = ArraySpec(name="camera", shape=(4, 4, 3), dtype="uint8", role=Role.pixels)


# a block is a megabyte, and what is compressed is read alone
@pytest.mark.parametrize(("more", "most"), [((), 5), ((WIDE,), 2), ((CAMERA,), 1)])
@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "bool"])
def test_together_and_one_by_one(
    random_corpus: Callable, kind: str, more: tuple, most: int
) -> None:
    action = ArraySpec(name="action", shape=(2, 1), role=Role.action, dtype=kind)
    corpus = random_corpus(
        lengths=(5, 3, 5, 1, 5, 3, 5, 5, 5, 9, 3),
        observations=(*STATE, *more),
        action=action,
        unlabeled=(1, 2),
        partial=(4, 9),
    )
    layout, info = layout_of(corpus.manifest), corpus.manifest.shards[0]
    part = open_shard(corpus.path / "shards" / info.file, info, layout, 1)
    shard, column = part.shard, part.columns
    assert (digests(shard, column, layout) == column["digest"]).all()
    blocks = list(alike(shard, column, layout))
    assert sorted(np.concatenate(blocks).tolist()) == list(range(len(corpus)))
    assert max(map(len, blocks)) == most
    for places in blocks:
        block = read_block(shard, column, places)
        ends = column["terminated"][places], column["truncated"][places]
        begun, whole = block_digests(block, layout, *ends)
        for k, place in enumerate(places.tolist()):
            fields = {name: array[k] for name, array in block.fields.items()}
            content = content_hash(block.steps[k], fields, layout)
            actions = None if block.actions is None else block.actions[k]
            done = bool(ends[0][k]), bool(ends[1][k])
            assert begun[k].tobytes() == content.digest()
            digest = full_digest(content, actions, block.observed[k], *done)
            assert whole[k].tobytes() == digest == column["digest"][place].tobytes()
