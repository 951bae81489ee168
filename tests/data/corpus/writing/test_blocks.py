"""Blocks hold every trajectory of a shard once, as it was written."""

from collections.abc import Callable

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Role

from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.shard import open_shard
from lawm_data.corpus.writing import blocks
from lawm_data.corpus.writing.blocks import alike, read_block

OBSERVATIONS = (
    ArraySpec(name="position", shape=(3,)),
    ArraySpec(name="count", shape=(2,), dtype="int16"),
    ArraySpec(name="physics", shape=(4,), dtype="float64", role=Role.physics),
)


@pytest.mark.parametrize("size", [1, 600, 1 << 20])
def test_what_is_read_in_blocks_is_what_is_read_one_by_one(
    random_corpus: Callable, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
    corpus = random_corpus(
        lengths=(5, 3, 5, 1, 5, 3, 5, 5), observations=OBSERVATIONS, unlabeled=(1, 2), partial=(4,)
    )
    layout, info = layout_of(corpus.manifest), corpus.manifest.shards[0]
    shard, columns = open_shard(corpus.path / "shards" / info.file, info, layout, 1)[:2]
    seen = []
    for places in alike(shard, columns, layout):
        block = read_block(shard, columns, places)
        # one array stands for all of them, so they are equally long, and all or none have actions
        assert len({len(corpus[int(place)]) for place in places}) == 1
        assert size > 1 or len(places) == 1
        for k, place in enumerate(places.tolist()):
            one = corpus[place]
            seen.append(place)
            np.testing.assert_array_equal(block.steps[k][:-1, -1], one.rewards)
            apart = one.arrays(layout.apart)
            assert set(apart) == set(block.fields)
            for name, field in block.fields.items():
                np.testing.assert_array_equal(field[k], apart[name])
            np.testing.assert_array_equal(block.observed[k], one.action_observed)
            assert (block.actions is None) == (not one.action_observed.any())
            if block.actions is not None:
                known = one.action_observed
                np.testing.assert_array_equal(block.actions[k][known], one.actions[known])
    assert sorted(seen) == list(range(len(corpus)))
