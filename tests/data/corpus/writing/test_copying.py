"""Trajectories that are copied in runs are those that are copied one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lawm_data import Corpus, CorpusWriter, open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.store import open_store
from lawm_data.corpus.writing.copying import parts_of

ORDERS = {
    "all": [0, 1, 2, 3, 4, 5],
    "some": [1, 2, 4],
    "backwards": [5, 4, 3, 2, 1, 0],
    "again": [3, 3, 0, 3],
    "no action": [1],
}


def one_by_one(corpus: Corpus, positions: list[int], out: Path) -> None:
    manifest = corpus.manifest
    with CorpusWriter.create(
        out, observations=manifest.observations, action=manifest.action
    ) as writer:
        for position in positions:
            trajectory, info = corpus[position], corpus[position].info
            writer.add(
                trajectory.arrays(manifest.observations),
                trajectory.rewards,
                trajectory.actions,
                action_observed=trajectory.action_observed,
                terminated=info.terminated,
                truncated=info.truncated,
                provenance=manifest.provenance[corpus.table.provenance[position]],
                agent_step=info.agent_step,
                seed=info.seed,
                metadata=info.metadata,
                trajectory_id=info.id,
            )


@pytest.mark.parametrize("order", ORDERS)
def test_runs_are_what_one_by_one_is(order: str, copy: Path, tmp_path: Path) -> None:
    corpus, store, positions = open_corpus(copy), open_store(copy, verify=True), ORDERS[order]
    one_by_one(corpus, positions, tmp_path / "slow")
    manifest = corpus.manifest
    with CorpusWriter.create(
        tmp_path / "fast", observations=manifest.observations, action=manifest.action
    ) as writer:
        ids = [corpus.table.id[position] for position in positions]
        writer.copy(store, np.array(positions), ids, manifest.provenance)
    slow, fast = (tmp_path / name for name in ("slow", "fast"))
    assert not [found for found in validate(fast) if found.severity == "error"]
    assert (slow / "corpus.json").read_bytes() == (fast / "corpus.json").read_bytes()
    assert [p.name for p in (slow / "shards").iterdir()] == [
        p.name for p in (fast / "shards").iterdir()
    ]


@pytest.mark.parametrize("limit", [1, 500, 1 << 20])
def test_no_shard_is_larger_than_it_must_be(limit: int, copy: Path) -> None:
    store = open_store(copy)
    positions, ids = np.arange(6), [str(i) for i in range(6)]
    parts = list(parts_of(store, positions, ids, np.arange(2), 0, limit))
    assert sum(len(part.columns["length"]) for part in parts) == 6
    for part in parts:
        sizes = [piece.nbytes for piece in (*part.steps, *part.actions)]
        sizes += [piece.nbytes for pieces in part.fields.values() for piece in pieces]
        if len(part.columns["length"]) > 1:
            assert sum(sizes) < limit + 20_000  # the last trajectory may go beyond
    assert (len(parts) == 6) == (limit == 1)


def test_what_was_added_before_comes_first(copy: Path, tmp_path: Path) -> None:
    corpus, store = open_corpus(copy), open_store(copy, verify=True)
    manifest, trajectory = corpus.manifest, corpus[0]
    with CorpusWriter.create(
        tmp_path / "new", observations=manifest.observations, action=manifest.action
    ) as writer:
        first = writer.add(
            trajectory.arrays(manifest.observations),
            trajectory.rewards,
            provenance=manifest.provenance[0],
        )
        writer.copy(store, np.array([0]), [first], manifest.provenance)
    assert open_corpus(tmp_path / "new").table.id.tolist() == [first, f"{first}-2"]
