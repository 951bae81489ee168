"""New corpora out of others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Provenance, Role, StorageError

from lawm_data import (
    Corpus,
    CorpusWriter,
    Derived,
    delete_trajectories,
    edit_corpus,
    filter_corpus,
    make_mask,
    merge_corpora,
    open_corpus,
    split_corpus,
    write_tier,
)
from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.store import open_store
from lawm_data.curation.action_clues import without_clues
from lawm_data.curation.tier import Band


def contents(*paths: Path) -> set[tuple[str, bytes]]:
    """Id and digest of every trajectory."""
    stores = [open_store(path, verify=True) for path in paths]
    return {
        (name, bytes(digest))
        for store in stores
        for name, digest in zip(store.table.id.tolist(), store.digest, strict=True)
    }


def test_filter_keeps_what_it_says_in_order(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "long"
    derived = filter_corpus(corpus, "length > 6", out)
    kept, seen = open_corpus(out, verify=True), corpus.filter(lambda info: info.length > 6)
    assert kept.table.id.tolist() == seen.table.id.tolist()
    assert contents(out) <= contents(corpus.path)
    assert kept.fingerprint == seen.fingerprint == derived.fingerprint
    assert (derived.trajectories, derived.steps) == (len(seen), int(seen.table.length.sum()))
    assert kept.manifest.provenance == corpus.manifest.provenance
    step = kept.manifest.lineage[-1]
    assert (step.operation, step.parents) == ("filter", (corpus.fingerprint,))
    assert step.settings == {"where": "length > 6"}
    assert validate(out) == []
    assert sorted(os.listdir(out)) == ["corpus.json", "labels", "masks", "shards"]


def test_through_a_mask_no_hidden_action_is_written(corpus: Corpus, tmp_path: Path) -> None:
    masked = corpus.with_mask("half")
    derived = filter_corpus(masked, "length > 6 or labels == 'withheld'", tmp_path / "out")
    published = b"\0".join(p.read_bytes() for p in derived.path.rglob("*") if p.is_file())
    source = b"\0".join(p.read_bytes() for p in corpus.path.rglob("*") if p.is_file())
    hidden = 0
    for recorded, seen in zip(corpus, masked, strict=True):
        if recorded.actions is None or seen.actions is not None:
            continue
        for row in recorded.actions[recorded.action_observed]:
            assert row[:1].tobytes() in source
            assert row[:1].tobytes() not in published
            hidden += 1
    assert hidden
    kept = open_corpus(derived.path)
    assert kept.label_counts()["withheld"] == 0
    assert derived.left[0] == "mask half: the corpus is written through a mask already"
    assert derived.left[1:] == without_clues(masked).left
    assert kept.manifest.lineage[-1].settings["mask"] == "half"


FILMED = (
    ArraySpec(name="position", shape=(3,)),
    ArraySpec(name="physics", shape=(2,), dtype="float64", role=Role.physics),
    ArraySpec(name="velocity", shape=()),
    ArraySpec(name="count", shape=(2,), dtype="int16"),
    ArraySpec(name="camera", shape=(2, 2, 3), dtype="uint8", role=Role.pixels),
)


@pytest.mark.parametrize("kept", ["all", "masked", "fewer", "unlabeled"])
def test_runs_of_rows_are_what_the_view_shows(
    kept: str, random_corpus: Callable, tmp_path: Path
) -> None:
    """Arrays, table and shards are those of adding one trajectory after the other."""
    lengths = (5, 3, 5, 1, 5, 3, 8, 5, 5, 9, 3, 2)
    some = {"unlabeled": (1, 2), "partial": (4, 9)}
    if kept != "all":  # there a zero keeps its sign, which a view does not show
        some["unrewarded"] = (0, 7)
    view = random_corpus(lengths=lengths, observations=FILMED, shards=3, **some)
    names = [spec.name for spec in FILMED if kept != "masked" or spec.role is not Role.physics]
    hidden = np.zeros(len(view), bool)
    if kept == "masked":
        view = view.with_mask(make_mask(view, 0.4, 0, "half"))
        filter_corpus(view, "length > 1", tmp_path / "new")
    elif kept == "fewer":
        names = ["camera", "velocity", "count"]
        edit_corpus(view[view.table.length > 1], tmp_path / "new", fields=names)
    elif kept == "unlabeled":
        hidden = view.table.length == 5
        shown = view[view.table.length > 1]
        edit_corpus(shown, tmp_path / "new", missing_where="length == 5")
    else:
        filter_corpus(view, "length > 1", tmp_path / "new")
    new = open_corpus(tmp_path / "new", verify=True)
    assert not [found for found in validate(new.path) if found.severity == "error"]
    with CorpusWriter.create(
        tmp_path / "slow", observations=new.manifest.observations, action=new.manifest.action
    ) as writer:
        for trajectory in view[view.table.length > 1]:
            info, observed = trajectory.info, trajectory.action_observed
            missing = hidden[view.table.id == info.id].any() or not observed.any()
            writer.add(
                {name: trajectory.arrays(FILMED)[name] for name in names},
                trajectory.rewards,
                None if missing else trajectory.actions,
                action_observed=None if missing else observed,
                terminated=info.terminated,
                truncated=info.truncated,
                provenance=new.manifest.provenance[0],
                metadata=info.metadata,
                trajectory_id=info.id,
            )
    slow = open_corpus(tmp_path / "slow")
    assert slow.fingerprint == new.fingerprint
    for name, column in new.table.columns().items():
        assert (column.values == slow.table.columns()[name].values).all()


@pytest.mark.parametrize("operation", ["filter", "delete", "merge", "split", "tier"])
def test_no_operation_shows_what_a_view_hides(
    corpus: Corpus, tmp_path: Path, operation: str
) -> None:
    view, out = corpus.with_mask("half").with_labels("idm"), tmp_path / "out"
    if operation == "filter":
        filter_corpus(view, "length > 0", out)
    elif operation == "delete":
        delete_trajectories(view, out, where="position == 1")
    elif operation == "merge":
        merge_corpora([view, view.filter(lambda info: info.length > 6)], out)
    elif operation == "split":
        split_corpus(view, {"a": 0.5, "b": 0.5}, out)
    else:
        write_tier([view], "expert", 8, out, returns=Band(-1e9, None))
    published = b"\0".join(p.read_bytes() for p in out.rglob("*.h5"))
    rows = {True: 0, False: 0}
    for recorded, seen in zip(corpus, view, strict=True):
        for row in (
            recorded.actions[recorded.action_observed] if recorded.actions is not None else ()
        ):
            shown = row[:1].tobytes() in published
            assert not shown or bool(seen.action_observed.all())
            rows[shown] += 1
    assert all(rows.values())


def test_a_dry_run_says_what_would_be_and_writes_nothing(corpus: Corpus, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out"
    planned = [
        filter_corpus(corpus, "length > 6", out, dry_run=True),
        delete_trajectories(corpus, out, where="length > 6", dry_run=True),
        merge_corpora([corpus, corpus], out, dry_run=True),
    ]
    assert sorted(tmp_path.rglob("*")) == before
    done = [
        filter_corpus(corpus, "length > 6", tmp_path / "a"),
        delete_trajectories(corpus, tmp_path / "b", where="length > 6"),
        merge_corpora([corpus, corpus], tmp_path / "c"),
    ]
    assert [part._replace(path=out) for part in done] == planned


def test_delete_leaves_what_filter_takes(corpus: Corpus, tmp_path: Path) -> None:
    taken = filter_corpus(corpus, "length > 6", tmp_path / "taken")
    rest = delete_trajectories(corpus, tmp_path / "rest", where="length > 6")
    assert contents(taken.path, rest.path) == contents(corpus.path)
    assert taken.trajectories + rest.trajectories == len(corpus)
    ids = corpus.table.id[[1, 3]].tolist()
    fewer = delete_trajectories(corpus, tmp_path / "fewer", ids=ids)
    assert contents(corpus.path) - contents(fewer.path) == {
        item for item in contents(corpus.path) if item[0] in ids
    }
    step = open_corpus(fewer.path).manifest.lineage[-1]
    assert (step.operation, step.settings) == ("delete", {"where": None, "ids": ids, "deleted": 2})
    with pytest.raises(CorpusError, match="trajectory nobody: is not in this view"):
        delete_trajectories(corpus, tmp_path / "no", ids=["nobody"])
    with pytest.raises(CorpusError, match="no trajectory is meant"):
        delete_trajectories(corpus, tmp_path / "no", where="length > 600")
    with pytest.raises(CorpusError, match="no trajectory of it is left"):
        delete_trajectories(corpus, tmp_path / "no", where="length > 0")
    with pytest.raises(ConfigError, match="nothing is named"):
        delete_trajectories(corpus, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_parts_merge_to_the_whole(corpus: Corpus, tmp_path: Path) -> None:
    parts = [
        filter_corpus(corpus, where, tmp_path / name).path
        for name, where in (("a", "length < 7"), ("b", "length > 4"))
    ]
    views = [open_corpus(path) for path in parts]
    merged = merge_corpora(views, tmp_path / "both")
    both = open_corpus(merged.path)
    assert contents(merged.path) == contents(corpus.path)
    assert len(both) == len(corpus)
    assert merged.duplicates == sum(map(len, views)) - len(corpus) > 0
    assert merged.renamed == 0
    before, after = corpus.with_mask("half").mask, both.with_mask("half").mask
    assert before is not None
    assert after is not None
    assert set(before.labeled) == set(after.labeled)
    assert len(both.with_labels("idm").filter(lambda i: i.labels == "inferred")) == 1
    step = both.manifest.lineage[-1]
    assert (step.operation, step.parents) == ("merge", tuple(v.fingerprint for v in views))
    history = [step.operation for step in both.manifest.lineage]
    assert history == ["filter", "filter", "merge"]
    assert validate(merged.path) == []


def test_corpora_of_other_arrays_are_named(random_corpus: Callable, tmp_path: Path) -> None:
    one = random_corpus("one")
    for name, options, words in (
        ("a", {"observations": (ArraySpec(name="x", shape=(2,)),)}, "observes x, not position,"),
        (
            "b",
            {
                "observations": (
                    *one.manifest.observations[:1],
                    ArraySpec(name="height", shape=(1,)),
                )
            },
            r"height has shape \(1,\), not \(\)",
        ),
        (
            "c",
            {"action": one.manifest.action.model_copy(update={"high": (2.0,) * 3})},
            r"action has high \(2.0, 2.0, 2.0\), not",
        ),
    ):
        with pytest.raises(CorpusError, match=words) as caught:
            merge_corpora([one, random_corpus(name, **options)], tmp_path / "out")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_equal_ids_of_other_content_are_kept_apart(random_corpus: Callable, tmp_path: Path) -> None:
    # without actions the ids are the same, and the content is not
    derived = merge_corpora(
        [random_corpus("one"), random_corpus("two", unlabeled=range(8))], tmp_path / "both"
    )
    both = open_corpus(derived.path)
    assert (len(both), derived.renamed, derived.duplicates) == (16, 8, 0)
    assert both.table.id[8:].tolist() == [f"{name}-2" for name in both.table.id[:8]]


def test_nothing_is_overwritten_and_nothing_is_left(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match="something is already there"):
        filter_corpus(corpus, "length > 6", corpus.path)
    with pytest.raises(CorpusError, match="no trajectory of it is left"):
        filter_corpus(corpus, "length > 600", tmp_path / "out")
    (shard, _) = sorted((corpus.path / "shards").iterdir())
    sound = shard.read_bytes()
    shard.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(CorpusError, match="was altered"):
        filter_corpus(corpus, "length > 6", tmp_path / "out")
    shard.write_bytes(sound)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_corpus_that_grew_meanwhile_is_not_mixed_up(corpus: Corpus, tmp_path: Path) -> None:
    with CorpusWriter.append(corpus.path) as writer:
        arrays = {"position": np.zeros((2, 2)), "height": np.zeros(2)}
        writer.add(arrays, np.zeros(1), np.zeros((1, 3)), provenance=Provenance(source="more"))
    with pytest.raises(CorpusError, match="has changed since it was opened"):
        filter_corpus(corpus, "length > 6", tmp_path / "out")
    assert isinstance(
        filter_corpus(open_corpus(corpus.path), "length > 6", tmp_path / "o"), Derived
    )
