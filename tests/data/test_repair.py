"""Real damage, repaired: what was sound is there afterwards, and nothing else."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, CorpusError, Provenance, Role, StorageError

from lawm_data import (
    Corpus,
    CorpusWriter,
    make_mask,
    open_corpus,
    save_mask,
    validate,
    write_overlay,
)
from lawm_data.atomic import WriterLock
from lawm_data.compaction import merge
from lawm_data.encode import write_shard
from lawm_data.layout import layout_of
from lawm_data.repair import repair
from lawm_data.repair_plan import plan_repair
from lawm_data.shard import open_shard

SPECS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="camera", shape=(3, 3, 3), dtype="uint8", role=Role.pixels),
    ArraySpec(name="physics", shape=(2,), dtype="float64", role=Role.physics),
)
ACTION = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1, -1), high=(1, 1))
LENGTHS = (9, 4, 12, 6, 20, 7)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of two trajectories, the second one without actions, a mask, an overlay."""
    path, rng = tmp_path_factory.mktemp("repair") / "corpus", np.random.default_rng(0)
    writer = CorpusWriter.create(path, observations=SPECS, action=ACTION)
    for i, steps in enumerate(LENGTHS):
        writer.add(
            {
                "position": rng.random((steps + 1, 2)),
                "camera": rng.integers(0, 256, (steps + 1, 3, 3, 3)),
                "physics": rng.random((steps + 1, 2)),
            },
            rng.random(steps),
            None if i == 1 else rng.uniform(-1, 1, (steps, 2)),
            action_observed=np.arange(steps) > 2 if i == 3 else None,
            terminated=i == 2,
            provenance=Provenance(source=f"source-{i % 2}"),
            seed=i,
            metadata={"i": i},
        )
        if i % 2:
            writer.commit()
    writer.discard()
    corpus = open_corpus(path)
    save_mask(corpus, make_mask(corpus, 0.5, 0, "half"))
    labels = [
        (t.info.id, np.full((len(t), 2), i / 10), np.ones((len(t), 2)))
        for i, t in enumerate(corpus)
    ]
    write_overlay(corpus, labels, name="idm", model="0" * 64, algorithm="lawm")
    (path / ".lock").unlink()
    assert validate(path) == []
    return path


@pytest.fixture
def copy(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "copy"))


def content(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def shard(path: Path, number: int) -> Path:
    listed = json.loads((path / "corpus.json").read_text())["shards"]
    return path / "shards" / listed[number]["file"]


def flip(file: Path, at: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1 << bit
    file.write_bytes(data)


def place(file: Path, name: str, row: int) -> int:
    with h5py.File(file, "r") as opened:
        data = opened[name]
        return data.id.get_offset() + row * data.dtype.itemsize * int(np.prod(data.shape[1:]))


def arrays(corpus: Corpus, i: int) -> list:
    t, digest = corpus[i], corpus._store.digest[i]
    return [
        *(a.tobytes() for _, a in t.observations.items()),
        t.rewards.tobytes(),
        digest.tobytes(),
    ]


def require_repaired(before: Path, after: Path, lost: set[int]) -> Corpus:
    """Everything but what was lost is there, with its content and what is known of it."""
    old, new = open_corpus(before), open_corpus(after, verify=True)
    left = [i for i in range(len(old)) if i not in lost]
    assert new.table.id.tolist() == old.table.id[left].tolist()
    for j, i in enumerate(left):
        assert arrays(new, j) == arrays(old, i)
        assert new.table.info(j) == old.table.info(i)
    assert validate(after) == []
    assert repair(after).changes == []
    return new


def test_a_sound_corpus_is_not_touched(copy: Path) -> None:
    before, times = content(copy), {p: p.stat().st_mtime_ns for p in copy.rglob("*")}
    assert repair(copy).changes == []
    assert content(copy) == before
    assert {p: p.stat().st_mtime_ns for p in copy.rglob("*")} == times


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
    pristine: Path, copy: Path, number: int, name: str, row: int, lost: set[int]
) -> None:
    file = shard(copy, number)
    flip(file, place(file, name, row))
    damaged, before = file.read_bytes(), content(copy)
    planned = plan_repair(copy)
    assert content(copy) == before
    done = repair(copy)
    assert done.changes == planned.changes
    old = open_corpus(pristine)
    assert [loss.id for loss in done.lost] == old.table.id[sorted(lost)].tolist()
    corpus = require_repaired(pristine, copy, lost)
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
    pristine: Path, copy: Path, name: str
) -> None:
    file = shard(copy, 1)
    flip(file, place(file, f"table/{name}", 1), bit=1)
    done = repair(copy)
    assert [change.what for change in done.changes] == ["is restored, byte for byte"]
    require_repaired(pristine, copy, set())
    originals = {k: v for k, v in content(copy).items() if not k.startswith("backup-1")}
    assert originals == content(pristine)


@pytest.mark.parametrize("name", ["seed", "provenance", "metadata"])
def test_what_no_hash_covers_is_kept_as_it_is_found_and_said(
    pristine: Path, copy: Path, name: str
) -> None:
    file = shard(copy, 1)
    flip(file, place(file, f"table/{name}", 1))
    done = repair(copy)
    assert (done.lost, done.unproven) == ([], [file.name])
    assert [f for f in validate(copy) if f.severity == "error"] == []
    old, new = open_corpus(pristine), open_corpus(copy)
    assert all(arrays(old, i) == arrays(new, i) for i in range(6))
    assert new.manifest.lineage[-1].settings["unproven"] == [file.name]


@pytest.mark.parametrize("at", [0, 8, 20, 60, 95])
def test_the_superblock_is_restored(pristine: Path, copy: Path, at: int) -> None:
    flip(shard(copy, 0), at)
    repair(copy)
    require_repaired(pristine, copy, set())


def test_what_a_truncated_shard_still_holds_is_kept(random_corpus: Callable) -> None:
    corpus = random_corpus(lengths=(20,) * 10)
    before = Path(shutil.copytree(corpus.path, corpus.path.with_name("before")))
    file = shard(corpus.path, 0)
    os.truncate(file, place(file, "steps", 21 * 6 + 3))
    done = repair(corpus.path)
    assert {loss.what for loss in done.lost} == {"not all of it is left of the file"}
    require_repaired(before, corpus.path, {6, 7, 8, 9})


def test_a_missing_shard_costs_what_was_in_it(pristine: Path, copy: Path) -> None:
    shard(copy, 1).unlink()
    done = repair(copy)
    assert [loss.what for loss in done.lost] == ["its shard is missing"] * 2
    require_repaired(pristine, copy, {2, 3})


def test_nothing_left_is_refused(copy: Path) -> None:
    for number in range(3):
        shard(copy, number).write_bytes(b"")
    before = content(copy)
    with pytest.raises(CorpusError, match="nothing of it can be restored"):
        repair(copy)
    assert content(copy) == before


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_lost_manifest_is_made_again(pristine: Path, copy: Path, text: str | None) -> None:
    manifest = copy / "corpus.json"
    manifest.unlink() if text is None else manifest.write_text(text)
    repair(copy)
    assert manifest.read_bytes() == (pristine / "corpus.json").read_bytes()
    require_repaired(pristine, copy, set())


def test_a_newer_format_is_not_damage(copy: Path) -> None:
    manifest = copy / "corpus.json"
    text = manifest.read_text().replace('"format_version": 1', '"format_version": 2')
    manifest.write_text(text)
    with pytest.raises(CorpusError, match="upgrade lawm"):
        repair(copy)
    assert manifest.read_text() == text


def test_a_lost_manifest_and_a_damaged_shard(pristine: Path, copy: Path) -> None:
    file = shard(copy, 1)
    flip(file, place(file, "steps", 2))
    (copy / "corpus.json").unlink()
    done = repair(copy)
    assert len(done.lost) == 1
    corpus = open_corpus(copy, verify=True)
    assert len(corpus) == 5
    # Which corpus a mask belonged to is not known any more: it stays, and is said to be stale.
    assert {f.severity for f in validate(copy)} == {"warning"}


def test_shards_that_do_not_explain_themselves_need_a_model(pristine: Path, tmp_path: Path) -> None:

    old = open_corpus(pristine)
    layout = layout_of(old.manifest)
    (tmp_path / "c" / "shards").mkdir(parents=True)
    for info in old.manifest.shards:
        part = open_shard(pristine / "shards" / info.file, info, layout, 2)
        write_shard(tmp_path / "c" / "shards", merge([part], layout), layout)
    with pytest.raises(CorpusError, match=r"before they kept a copy of it.*--like"):
        repair(tmp_path / "c")
    repair(tmp_path / "c", like=pristine)
    assert open_corpus(tmp_path / "c", verify=True).fingerprint == old.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "0" * 64},
        {"shards": lambda shards: shards[::-1]},
        {"shards": lambda shards: [{**s, "sha256": "0" * 64} for s in shards]},
        {"shards": lambda shards: [{**s, "steps": 1, "trajectories": 1} for s in shards]},
    ],
)
def test_a_wrong_manifest_is_corrected(pristine: Path, copy: Path, change: dict) -> None:
    manifest = json.loads((copy / "corpus.json").read_text())
    for key, value in change.items():
        manifest[key] = value(manifest[key]) if callable(value) else value
    (copy / "corpus.json").write_text(json.dumps(manifest))
    done = repair(copy)
    assert done.lost == []
    assert (copy / "corpus.json").read_bytes() == (pristine / "corpus.json").read_bytes()
    require_repaired(pristine, copy, set())


def test_masks_and_overlays_are_restricted(pristine: Path, copy: Path) -> None:
    old = open_corpus(pristine)
    mask = old.masks()["half"]
    gone = old.table.id.tolist().index(mask.labeled[0])
    file = shard(copy, gone // 2)
    row = 1 if gone % 2 == 0 else LENGTHS[gone - 1] + 2
    flip(file, place(file, "steps", row))
    (copy / "masks" / "broken.json").write_text("{")
    done = repair(copy)
    new = require_repaired(pristine, copy, {gone})
    restricted = new.masks()["half"]
    assert restricted.labeled == mask.labeled[1:]
    assert done.backup is not None
    assert (done.backup / "masks" / "broken.json").read_text() == "{"
    labeled = new.with_mask("half").with_labels("idm")
    for i in range(len(new)):
        name = new.table.id[i]
        trajectory = labeled[i]
        if name not in restricted.labeled and not trajectory.action_observed.any():
            was = old.table.id.tolist().index(name)
            assert trajectory.actions is not None
            np.testing.assert_array_equal(trajectory.actions, np.float32(was / 10))


def test_leftovers_are_removed_and_shards_among_them_kept(pristine: Path, copy: Path) -> None:
    (copy / ".tmp-1-x").write_text("x")
    (copy / "masks" / ".tmp-1-y").write_text("y")
    (copy / "labels" / "idm").rename(copy / "labels" / ".idm.replaced")
    stray = copy / "shards" / f"{'0' * 32}.h5"
    stray.write_bytes(b"perhaps somebody wants it")
    somebodys = copy / "shards" / "good"
    somebodys.mkdir()
    assert len([f for f in validate(copy) if "left over" in f.what]) == 4
    done = repair(copy)
    require_repaired(pristine, copy, set())
    assert open_corpus(copy).with_labels("idm").label_counts()["inferred"] == 1
    assert done.backup is not None
    assert (done.backup / "shards" / stray.name).read_bytes() == b"perhaps somebody wants it"
    assert somebodys.is_dir()


def test_a_copy_leaves_the_original_alone(pristine: Path, copy: Path, tmp_path: Path) -> None:
    file = shard(copy, 0)
    flip(file, place(file, "steps", 0))
    before = content(copy)
    repair(copy, tmp_path / "out")
    assert content(copy) == before
    require_repaired(pristine, tmp_path / "out", {0})
    assert not list((tmp_path / "out").glob("backup-*"))
    with pytest.raises(StorageError, match="already there"):
        repair(copy, tmp_path / "out")


def test_the_writers_right_is_needed(copy: Path) -> None:
    flip(shard(copy, 0), 200)
    lock, before = WriterLock(copy), content(copy)
    with pytest.raises(StorageError, match="is writing"):
        repair(copy)
    lock.release()
    assert content(copy) == before


def _deadly(rename: Callable, calls: list, number: int) -> Callable:
    def die(*paths: object) -> None:
        rename(*paths)
        calls.append(paths)
        if len(calls) == number:
            os._exit(9)

    return die


def _die_at_rename(number: int) -> None:
    """This process ends right after its n-th rename, as if it were killed."""
    calls: list = []
    for name in ("replace", "rename"):
        setattr(os, name, _deadly(getattr(os, name), calls, number))


def test_a_killed_repair_is_finished_by_another(pristine: Path, copy: Path) -> None:
    """It dies at every single rename, without any clean-up, until it gets through."""
    file = shard(copy, 0)
    flip(file, place(file, "steps", 0))
    deaths = 0
    while True:
        child = os.fork()
        if child == 0:
            _die_at_rename(deaths + 1)
            try:
                repair(copy)
                os._exit(0)
            except BaseException:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9)
        if code == 0:
            break
        deaths += 1
        assert len(open_corpus(copy)) in (5, 6)
    assert deaths >= 3
    require_repaired(pristine, copy, {0})
    assert open_corpus(copy).with_mask("half").with_labels("idm").label_counts()["inferred"] >= 1


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(choice=st.data())
def test_whatever_happens_to_a_shard(
    pristine: Path, tmp_path_factory: pytest.TempPathFactory, choice: st.DataObject
) -> None:
    """After a repair all is well, and what is there has the content that it had."""
    path = Path(shutil.copytree(pristine, tmp_path_factory.mktemp("any") / "c"))
    victim = shard(path, choice.draw(st.integers(0, 2)))
    size = victim.stat().st_size
    for _ in range(choice.draw(st.integers(1, 3))):
        flip(victim, choice.draw(st.integers(0, size - 1)), choice.draw(st.integers(0, 7)))
    if choice.draw(st.booleans()):
        os.truncate(victim, choice.draw(st.integers(0, size - 1)))
    untouched = content(path)
    plan_repair(path)
    assert content(path) == untouched
    repair(path)
    assert [f for f in validate(path) if f.severity == "error"] == []
    old, new = open_corpus(pristine), open_corpus(path, verify=True)
    before = {bytes(old._store.digest[i]): arrays(old, i) for i in range(len(old))}
    for j in range(len(new)):
        assert arrays(new, j) == before[bytes(new._store.digest[j])]
    others = [
        i
        for i in range(6)
        if old._store.index.shard[i]
        != int([s.file for s in old.manifest.shards].index(victim.name))
    ]
    assert set(old.table.id[others]) <= set(new.table.id)
