"""What is got out of damaged shards: what was sound is there afterwards, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lawm_schemas import CorpusError

from lawm_data import open_corpus
from lawm_data.corpus.integrity.repair import plan_repair, repair
from lawm_data.corpus.integrity.validate import validate


@pytest.mark.parametrize(
    ("number", "name", "row", "lost"),
    [
        (0, "steps", 12, {1}),
        (0, "actions", 3, {0}),
        (1, "fields/physics", 2, {2}),
        (1, "action_observed", 14, {3}),
        (2, "steps", 25, {5}),
    ],
)
def test_a_flipped_bit_costs_its_trajectory_and_no_other(
    pristine: Path, copy: Path, number: int, name: str, row: int, lost: set[int], disk
) -> None:
    file = disk.shard(copy, number)
    disk.flip(file, disk.place(file, name, row))
    damaged, before = file.read_bytes(), disk.content(copy)
    planned = plan_repair(copy)
    assert disk.content(copy) == before
    done = repair(copy)
    assert done.changes == planned.changes
    old = open_corpus(pristine)
    assert [loss.id for loss in done.lost] == old.table.id[sorted(lost)].tolist()
    corpus = disk.require_repaired(pristine, copy, lost)
    assert done.backup is not None
    assert (done.backup / "shards" / file.name).read_bytes() == damaged
    assert (done.backup / "corpus.json").read_bytes() == before["corpus.json"]
    # Shards before the damage stay as they are.
    kept = [s.file for s in corpus.manifest.shards[:number]]
    assert kept == [s.file for s in old.manifest.shards[:number]]
    step = corpus.manifest.lineage[-1]
    assert (step.operation, step.parents) == ("repair", (old.root_fingerprint,))


@pytest.mark.parametrize(
    "name",
    ["id", "length", "row", "action_row", "digest", "episode_return", "ordinal", "num_observed"],
)
def test_damage_to_the_table_is_undone_where_the_rest_proves_it(
    pristine: Path, copy: Path, name: str, disk
) -> None:
    file = disk.shard(copy, 1)
    disk.flip(file, disk.place(file, f"table/{name}", 1), bit=1)
    done = repair(copy)
    assert [change.what for change in done.changes] == ["is restored, byte for byte"]
    disk.require_repaired(pristine, copy, set())
    originals = {k: v for k, v in disk.content(copy).items() if not k.startswith("backup-1")}
    assert originals == disk.content(pristine)


@pytest.mark.parametrize("name", ["seed", "provenance", "metadata"])
def test_what_no_hash_covers_is_kept_as_it_is_found_and_said(
    pristine: Path, copy: Path, name: str, disk
) -> None:
    file = disk.shard(copy, 1)
    disk.flip(file, disk.place(file, f"table/{name}", 1))
    done = repair(copy)
    assert (done.lost, done.unproven) == ([], [file.name])
    assert [f for f in validate(copy) if f.severity == "error"] == []
    old, new = open_corpus(pristine), open_corpus(copy)
    assert all(disk.arrays(old, i) == disk.arrays(new, i) for i in range(6))
    assert new.manifest.lineage[-1].settings["unproven"] == [file.name]


@pytest.mark.parametrize("at", [0, 8, 20, 60, 95])
def test_the_superblock_is_restored(pristine: Path, copy: Path, at: int, disk) -> None:
    disk.flip(disk.shard(copy, 0), at)
    repair(copy)
    disk.require_repaired(pristine, copy, set())


def test_what_a_truncated_shard_still_holds_is_kept(random_corpus: Callable, disk) -> None:
    corpus = random_corpus(lengths=(20,) * 10)
    before = Path(shutil.copytree(corpus.path, corpus.path.with_name("before")))
    file = disk.shard(corpus.path, 0)
    os.truncate(file, disk.place(file, "steps", 21 * 6 + 3))
    done = repair(corpus.path)
    assert {loss.what for loss in done.lost} == {"not all of it is left of the file"}
    disk.require_repaired(before, corpus.path, {6, 7, 8, 9})


def test_a_missing_shard_costs_what_was_in_it(pristine: Path, copy: Path, disk) -> None:
    disk.shard(copy, 1).unlink()
    done = repair(copy)
    assert [loss.what for loss in done.lost] == ["its shard is missing"] * 2
    disk.require_repaired(pristine, copy, {2, 3})


def test_a_folder_in_the_place_of_a_shard_costs_what_was_in_it(
    pristine: Path, copy: Path, disk
) -> None:
    file = disk.shard(copy, 1)
    file.unlink()
    file.mkdir()
    (finding,) = validate(copy)
    assert (finding.where, finding.what) == (str(file), "is a folder, not a file")
    with pytest.raises(CorpusError, match="is a folder, not a file"):
        open_corpus(copy)
    done = repair(copy)
    assert [loss.what for loss in done.lost] == ["its shard is a folder"] * 2
    disk.require_repaired(pristine, copy, {2, 3})


def test_nothing_left_is_refused(copy: Path, disk) -> None:
    for number in range(3):
        disk.shard(copy, number).write_bytes(b"")
    before = disk.content(copy)
    with pytest.raises(CorpusError, match="nothing of it can be restored"):
        repair(copy)
    assert disk.content(copy) == before


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(choice=st.data())
def test_whatever_happens_to_a_shard(
    pristine: Path, tmp_path_factory: pytest.TempPathFactory, choice: st.DataObject, disk
) -> None:
    """After a repair all is well, and what is there has the content that it had."""
    path = Path(shutil.copytree(pristine, tmp_path_factory.mktemp("any") / "c"))
    victim = disk.shard(path, choice.draw(st.integers(0, 2)))
    size = victim.stat().st_size
    for _ in range(choice.draw(st.integers(1, 3))):
        disk.flip(victim, choice.draw(st.integers(0, size - 1)), choice.draw(st.integers(0, 7)))
    if choice.draw(st.booleans()):
        os.truncate(victim, choice.draw(st.integers(0, size - 1)))
    untouched = disk.content(path)
    plan_repair(path)
    assert disk.content(path) == untouched
    repair(path)
    assert [f for f in validate(path) if f.severity == "error"] == []
    old, new = open_corpus(pristine), open_corpus(path, verify=True)
    before = {bytes(old._store.digest[i]): disk.arrays(old, i) for i in range(len(old))}
    for j in range(len(new)):
        assert disk.arrays(new, j) == before[bytes(new._store.digest[j])]
    others = [
        i
        for i in range(6)
        if old._store.index.shard[i]
        != int([s.file for s in old.manifest.shards].index(victim.name))
    ]
    assert set(old.table.id[others]) <= set(new.table.id)
