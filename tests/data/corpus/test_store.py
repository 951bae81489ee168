from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import CorpusWriter, make_mask, open_corpus
from lawm_data.corpus.fingerprint import fingerprint_of
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.table import SEEDED
from lawm_data.corpus.writing.encode import Parts, write_shard

COUNT = 40_000


def many_trajectories(path: Path, count: int, shards: int) -> None:
    """A corpus of trajectories of one step, written column by column."""
    specs = (ArraySpec(name="position", shape=(1,)),)
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    with CorpusWriter.create(path, observations=specs, action=action) as writer:
        manifest = writer.manifest
    infos, each = [], count // shards
    for shard in range(shards):
        ordinal = np.arange(shard * each, (shard + 1) * each)
        ones, zeros = np.ones(each, np.int64), np.zeros(each, np.int64)
        columns = {
            "id": np.char.mod("%016x", ordinal).astype("S24"),
            "ordinal": ordinal,
            "length": ones,
            "num_observed": ones,
            "labels": zeros,
            "terminated": zeros,
            "truncated": ones,
            "episode_return": zeros,
            "provenance": zeros,
            "agent_step": -ones,
            "seed": ordinal.astype(np.uint64),
            SEEDED: ones.astype(bool),
            "digest": np.zeros((each, 32), np.uint8),
        }
        steps, actions = np.zeros((2 * each, 2), "f4"), np.zeros((each, 1), "f4")
        parts = Parts([steps], [actions], [ones.astype(bool)], {}, columns, [b""] * each)
        infos.append(write_shard(path / "shards", parts, layout_of(manifest)))
    ids = np.char.mod("%016x", np.arange(count)).astype("S24")
    update = {
        "shards": tuple(infos),
        "provenance": (Provenance(source="test"),),
        "fingerprint": fingerprint_of(manifest, ids, np.zeros((count, 32), np.uint8)),
    }
    (path / "corpus.json").write_text(manifest.model_copy(update=update).to_json())


def test_opening_costs_bytes_and_not_objects_per_trajectory(tmp_path: Path) -> None:
    many_trajectories(tmp_path / "corpus", COUNT, shards=4)
    tracemalloc.start()
    corpus = open_corpus(tmp_path / "corpus")
    current, peak = tracemalloc.get_traced_memory()
    blocks = sum(entry.count for entry in tracemalloc.take_snapshot().statistics("filename"))
    tracemalloc.stop()
    assert len(corpus) == COUNT
    assert blocks < 2_000
    assert peak < 400 * COUNT
    assert current < 250 * COUNT
    info = corpus.table.info(COUNT - 1)
    assert (info.id, info.seed) == (f"{COUNT - 1:016x}", COUNT - 1)
    view = corpus.with_mask(make_mask(corpus, 0.01, 0, "m"))
    assert view.label_counts()["observed"] == COUNT // 100
    assert sum(len(s.actions) for s in view.shards if s.actions is not None) == COUNT // 100


def test_one_shard_is_not_copied_at_all(tmp_path: Path) -> None:
    many_trajectories(tmp_path / "corpus", COUNT, shards=1)
    tracemalloc.start()
    corpus = open_corpus(tmp_path / "corpus")
    current, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(corpus) == COUNT
    # The columns stay in the file; what is made is what the index adds to them.
    assert current < 60 * COUNT
