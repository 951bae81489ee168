"""What is written of trajectories that were added, and which shards are put together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import CorpusError, Provenance, ShardInfo

from lawm_data.corpus.table import ID_BYTES
from lawm_data.corpus.writing.commit import (
    FAN_IN,
    Sources,
    TakenIds,
    plan_all,
    plan_latest,
    whole_number,
)

TARGET = 1 << 22


def infos(sizes: list[int]) -> list[ShardInfo]:
    return [
        ShardInfo(file="a.h5", sha256="0" * 64, bytes=size, trajectories=1, steps=1)
        for size in sizes
    ]


@given(sizes=st.lists(st.integers(0, 2 * TARGET), max_size=60))
def test_closing_joins_neighbours_up_to_the_target(sizes: list[int]) -> None:
    runs = plan_all(infos(sizes), TARGET)
    ends = [0, *(edge for run in runs for edge in (run.start, run.stop))]
    assert ends == sorted(ends)
    joined, at = [], 0
    for run in runs:
        assert run.stop - run.start >= 2
        assert sum(sizes[run]) <= TARGET
        assert max(sizes[run]) < TARGET / 2
        joined += [*sizes[at : run.start], sum(sizes[run])]
        at = run.stop
    joined += sizes[at:]
    # No two neighbours are left that are small together: every second one is half full.
    for left, right in pairwise(joined):
        assert left + right > TARGET / 2


@given(sizes=st.lists(st.integers(1, TARGET // 8), min_size=1, max_size=600))
def test_a_working_writer_keeps_few_shards_and_rewrites_little(sizes: list[int]) -> None:
    shards: list[int] = []
    rewritten = 0
    for size in sizes:
        shards.append(size)
        run = plan_latest(infos(shards), TARGET)
        if run is not None:
            assert run.stop == len(shards)
            rewritten += sum(shards[run])
            shards[run] = [sum(shards[run])]
    assert sum(shards) == sum(sizes)
    small = [size for size in shards if size < TARGET]
    assert len(small) <= 4 * FAN_IN
    assert rewritten <= 4 * sum(sizes)


@given(st.lists(st.sampled_from(["a", "a-2", "b", "c" * ID_BYTES]), max_size=40))
def test_ids_are_never_twice_and_fit(names: list[str]) -> None:
    ids, taken = TakenIds(["b"]), ["b"]
    for name in names:
        free = ids.take(name)
        assert (free == name) == (name not in taken)
        assert free not in taken
        assert len(free) <= ID_BYTES
        taken.append(free)
    assert len(ids) == len(taken)


@given(st.lists(st.builds(Provenance, source=st.sampled_from(["a", "b", "c"])), max_size=10))
def test_a_source_has_one_place(given_sources: list[Provenance]) -> None:
    sources = Sources([])
    places = [sources.place(source) for source in given_sources]
    assert list(dict.fromkeys(places)) == list(range(len({s.source for s in given_sources})))
    for source, place in zip(given_sources, places, strict=True):
        assert given_sources[places.index(place)] == source


def test_whole_numbers_are_kept_and_nothing_else() -> None:
    kept = (0, 2**63, 2**64 - 1, np.uint64(2**64 - 1))
    assert [whole_number(number, "seed", 64) for number in kept] == [int(n) for n in kept]
    assert whole_number(None, "seed", 64) == -1
    for number in (True, 1.0, "1", -1, 2**63):
        with pytest.raises(CorpusError, match=r"^agent_step: .*; give "):
            whole_number(number, "agent_step", 63)  # pyright: ignore[reportArgumentType]
