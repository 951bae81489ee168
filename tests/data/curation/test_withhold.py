from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from lawm_schemas import ArraySpec, CorpusError, Role, StorageError

from lawm_data import make_mask, open_corpus, write_overlay
from lawm_data.corpus.integrity.validate import validate
from lawm_data.curation.action_clues import CLUES
from lawm_data.curation.derive import withhold

FIELDS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="camera", shape=(2, 2, 3), dtype="uint8", role=Role.pixels),
    ArraySpec(name="physics", shape=(4,), dtype="float64", role=Role.physics),
)


def raw(folder: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_hidden_actions_are_in_no_file(random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus(observations=FIELDS, partial=(3, 5), unlabeled=(6,), shards=2)
    mask = make_mask(corpus, 0.25, 0, "quarter")
    out = withhold(corpus.with_mask(mask), tmp_path / "public")
    source, published = raw(corpus.path), raw(out)
    for trajectory in corpus:
        if trajectory.actions is None:
            continue
        shown = trajectory.info.id in mask.labeled
        for row in trajectory.actions[trajectory.action_observed]:
            assert row.tobytes() in source
            assert (row.tobytes() in published) == shown
            # Nor single numbers of it.
            assert (row[:1].tobytes() in published) == shown


def test_everything_else_is_kept_on_demand(random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus(observations=FIELDS, unlabeled=(6,))
    view = corpus.with_mask(make_mask(corpus, 0.25, 4, "quarter"))
    public = open_corpus(withhold(view, tmp_path / "public", keep=CLUES), verify=True)
    assert public.table.id.tolist() == corpus.table.id.tolist()
    assert public.label_counts() == {"observed": 2, "withheld": 0, "missing": 6, "inferred": 0}
    assert public.fingerprint != corpus.fingerprint
    assert public.manifest.provenance == corpus.manifest.provenance
    for kept, seen in zip(public, view, strict=True):
        for name, array in seen.observations.items():
            np.testing.assert_array_equal(kept.observations[name], array)
        np.testing.assert_array_equal(kept.physics, seen.physics)
        np.testing.assert_array_equal(kept.rewards, seen.rewards)
        np.testing.assert_array_equal(kept.terminated, seen.terminated)
        np.testing.assert_array_equal(kept.truncated, seen.truncated)
        assert (kept.actions is None) == (seen.actions is None)
        if kept.actions is not None:
            np.testing.assert_array_equal(kept.actions, seen.actions)
    step = public.manifest.lineage[-1]
    assert (step.operation, step.parents) == ("withhold", (corpus.fingerprint,))
    assert step.settings["mask"] == "quarter"
    assert step.settings["labeled"] == 2
    assert validate(public.path) == []
    assert sorted(os.listdir(public.path)) == ["corpus.json", "shards"]


def test_filters_are_kept_and_inferred_actions_are_not(
    random_corpus: Callable, tmp_path: Path
) -> None:
    corpus = random_corpus(partial=(2,))
    view = corpus.with_mask(make_mask(corpus, 0.5, 0, "half"))
    labels = [
        (t.info.id, np.full((len(t), 3), 0.25), np.zeros((len(t), 3)))
        for t in view
        if t.actions is None
    ]
    write_overlay(view, labels, name="idm", model="0" * 64, algorithm="lawm")
    some = view.with_labels("idm").filter(lambda info: info.length > 5)
    public = open_corpus(withhold(some, tmp_path / "public"))
    assert public.table.id.tolist() == some.table.id.tolist()
    assert [t.actions is None for t in public] == [t.labels != "observed" for t in some]
    whole = open_corpus(withhold(corpus, tmp_path / "whole"))
    assert whole.fingerprint == corpus.fingerprint
    assert whole[2].info.num_observed == corpus[2].info.num_observed < corpus[2].info.length


def test_an_altered_source_gets_no_new_checksum(random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus()
    (shard,) = (corpus.path / "shards").iterdir()
    content = bytearray(shard.read_bytes())
    content[content.index(corpus[0].rewards[:1].tobytes())] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CorpusError, match=f"{shard.name}: was altered"):
        withhold(corpus, tmp_path / "public")
    assert not (tmp_path / "public").exists()


def test_nothing_is_overwritten(random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match="something is already there"):
        withhold(corpus, corpus.path)
    (corpus.path / "file").touch()
    with pytest.raises(StorageError, match="file"):
        withhold(corpus, corpus.path / "file/out")
    (corpus.path / "file").unlink()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_copy_that_fails_leaves_nothing(random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus(observations=FIELDS)
    (shard,) = (corpus.path / "shards").iterdir()
    with h5py.File(shard, "r") as file:
        chunk = file["fields/camera"].id.get_chunk_info(0)
    with shard.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(bytes(chunk.size))
    # With a checksum that agrees, the damage shows only half way through the copy.
    manifest = json.loads((corpus.path / "corpus.json").read_text())
    del manifest["checksum"]
    manifest["shards"][0]["sha256"] = hashlib.sha256(shard.read_bytes()).hexdigest()
    (corpus.path / "corpus.json").write_text(json.dumps(manifest))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CorpusError, match="fields/camera: cannot be decompressed"):
        withhold(corpus, tmp_path / "public")
    assert sorted(tmp_path.rglob("*")) == before
