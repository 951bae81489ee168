"""A shard is what the manifest says, or is refused."""

from __future__ import annotations

from collections.abc import Callable

import h5py
import numpy as np
import pytest
from lawm_schemas import CorpusError

from lawm_data import Corpus
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.shard import OpenShard, open_shard, plain_ids


def opened(corpus: Corpus, number: int = 0, **changes: object) -> OpenShard:
    info = corpus.manifest.shards[number]
    path = corpus.path / "shards" / info.file
    given = {"bytes": path.stat().st_size, **changes}
    sources = len(corpus.manifest.provenance)
    return open_shard(path, info.model_copy(update=given), layout_of(corpus.manifest), sources)


def test_trajectories_lie_end_to_end(random_corpus: Callable) -> None:
    corpus = random_corpus(unlabeled=(1,), partial=(2,), shards=2)
    part = opened(corpus)
    ends = np.cumsum(part.columns["length"] + 1)
    assert part.columns["row"].tolist() == [0, *ends[:-1]]
    assert len(part.shard.steps) == ends[-1]
    for i, trajectory in enumerate(corpus[:4]):
        rows = part.shard.steps[part.columns["row"][i] :][: len(trajectory) + 1]
        np.testing.assert_array_equal(rows[:, :-1], trajectory.observations.state)
        np.testing.assert_array_equal(rows[:-1, -1], trajectory.rewards)
    with pytest.raises(ValueError, match="read-only"):
        part.shard.steps[0, 0] = 1


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", b"a b"),
        ("length", 0),
        ("row", 1),
        ("action_row", 5),
        ("num_observed", 99),
        ("episode_return", np.inf),
        ("terminated", 2),
        ("provenance", 1),
    ],
)
def test_an_impossible_row_is_named(random_corpus: Callable, column: str, value: object) -> None:
    corpus = random_corpus()
    info = corpus.manifest.shards[0]
    with h5py.File(corpus.path / "shards" / info.file, "r+") as file:
        file[f"table/{column}"][2] = value
    with pytest.raises(CorpusError, match=rf"table/{column}: trajectory 2 is impossible"):
        opened(corpus)


def test_what_the_manifest_says_is_compared(random_corpus: Callable) -> None:
    corpus = random_corpus()
    steps = corpus.manifest.shards[0].steps
    with pytest.raises(CorpusError, match=rf"table/length: {steps} rows declared, {steps + 1} "):
        opened(corpus, steps=steps + 1)
    with pytest.raises(CorpusError, match="bytes"):
        opened(corpus, bytes=10)


def test_ids_can_be_printed_and_searched() -> None:
    ids = np.array([b"a-1", b"", b"a b", b"\xff", b"Z" * 24, b"../x"], "S24")
    assert plain_ids(ids).tolist() == [True, False, False, False, True, False]
