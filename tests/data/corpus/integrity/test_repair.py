"""A repair: what it leaves alone, what it makes of everything else, and that it can be killed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lawm_schemas import ArraySpec, CorpusError, Provenance, Role, StorageError

from lawm_data import CorpusWriter, make_mask, open_corpus, save_mask, write_overlay
from lawm_data.corpus.integrity.repair import repair
from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.overlay import read_overlay, require_same_mask
from lawm_data.corpus.shard import open_shard
from lawm_data.corpus.writing.commit import merge
from lawm_data.corpus.writing.encode import write_shard
from lawm_data.system.atomic import WriterLock


def test_a_sound_corpus_is_not_touched(copy: Path, disk) -> None:
    before, times = disk.content(copy), {p: p.stat().st_mtime_ns for p in copy.rglob("*")}
    assert repair(copy).changes == []
    assert disk.content(copy) == before
    assert {p: p.stat().st_mtime_ns for p in copy.rglob("*")} == times


def test_a_copy_leaves_the_original_alone(pristine: Path, copy: Path, tmp_path: Path, disk) -> None:
    file = disk.shard(copy, 0)
    disk.flip(file, disk.place(file, "steps", 0))
    before = disk.content(copy)
    repair(copy, tmp_path / "out")
    assert disk.content(copy) == before
    disk.require_repaired(pristine, tmp_path / "out", {0})
    assert not list((tmp_path / "out").glob("backup-*"))
    with pytest.raises(StorageError, match="already there"):
        repair(copy, tmp_path / "out")


def test_the_writers_right_is_needed(copy: Path, disk) -> None:
    disk.flip(disk.shard(copy, 0), 200)
    lock, before = WriterLock(copy), disk.content(copy)
    with pytest.raises(StorageError, match="is writing"):
        repair(copy)
    lock.release()
    assert disk.content(copy) == before


def test_a_sound_corpus_that_somebody_writes_to_is_left_to_them(copy: Path) -> None:
    lock = WriterLock(copy)
    with pytest.raises(StorageError, match=f"process {os.getpid()} is writing to this corpus"):
        repair(copy)
    lock.release()


def outside_backups(content: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in content.items() if not name.startswith("backup-")}


ANYWHERE = pytest.mark.parametrize(
    "names",
    [
        pytest.param(True, id="before names change"),
        pytest.param(False, id="before anything changes", marks=pytest.mark.slow),
    ],
)


@ANYWHERE
@pytest.mark.parametrize("lost", [False, True])
def test_a_repair_that_is_killed_anywhere_is_finished_by_another(
    pristine: Path, tmp_path: Path, lost: bool, disk, is_killed: Callable, names: bool
) -> None:
    """It dies before every single change, or every third name, without any clean-up."""
    whole = Path(shutil.copytree(pristine, tmp_path / "whole"))
    disk.flip(file := disk.shard(whole, 0), disk.place(file, "steps", 0))
    repair(whole)
    new = disk.require_repaired(pristine, whole, {0})
    assert new.with_mask("half").with_labels("idm").label_counts()["inferred"] >= 1
    expected = outside_backups(disk.content(whole))
    deaths, dies = 0, True
    while dies:
        deaths += 3 if names else 1
        copy = Path(shutil.copytree(pristine, tmp_path / str(deaths)))
        file = disk.shard(copy, 0)
        disk.flip(file, disk.place(file, "steps", 0))
        if lost:
            (copy / "corpus.json").unlink()
        damaged = file.read_bytes()
        dies = is_killed(lambda copy=copy: repair(copy), deaths, names)
        if not lost:
            assert len(open_corpus(copy)) in (5, 6)
        repair(copy)
        if lost:  # which corpus its mask and overlay belonged to is not known any more
            assert len(open_corpus(copy, verify=True)) == 5
            assert {f.severity for f in validate(copy)} == {"warning"}
        else:
            assert outside_backups(disk.content(copy)) == expected
        assert [entry for entry in copy.rglob(".*") if entry.name != ".lock"] == []
        (backup,) = copy.glob("backup-*")
        assert (backup / "shards" / file.name).read_bytes() == damaged
    assert deaths > 10


def test_every_file_is_read_once(pristine: Path, copy: Path, disk, is_killed: Callable) -> None:
    """From the first look to the last, the check of what was written included."""
    victim = disk.shard(copy, 1)
    disk.flip(victim, disk.place(victim, "steps", 2))
    files = [[str(file), file.stat().st_ino] for file in copy.rglob("*") if file.is_file()]
    shards = {number for name, number in files if name.endswith(".h5")}
    assert len(shards) == 4  # three of trajectories, and the arrays of the overlay
    counts = copy.with_name("counts.json")

    def count() -> None:
        read: list[tuple[str, int]] = []
        parsed: list[int] = []

        def note(event: str, arguments: tuple) -> None:
            if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_DIRECTORY):
                with contextlib.suppress(OSError):
                    read.append((str(arguments[0]), os.stat(arguments[0]).st_ino))

        class Counted(h5py.File):
            def __init__(self, name: Any, mode: str, **options: Any) -> None:
                if mode == "r":
                    place = name.fileno() if hasattr(name, "fileno") else name
                    parsed.append(os.stat(place).st_ino)
                super().__init__(name, mode, **options)

        h5py.File = Counted
        sys.addaudithook(note)
        repair(copy)
        counts.write_text(json.dumps([read, parsed]))

    assert not is_killed(count, sys.maxsize)
    read, parsed = json.loads(counts.read_text())
    assert sorted(file for file in read if file in files) == sorted(files)
    assert shards <= set(parsed)
    # what is new is read back once: the salvaged shard, the one behind it, the overlay
    assert len(set(parsed) - shards) == 3
    assert len(set(parsed)) == len(parsed)
    disk.require_repaired(pristine, copy, {2})


def test_a_copy_takes_everything_else_along(copy: Path, tmp_path: Path, disk) -> None:
    corpus = open_corpus(copy)
    labels = [(t.info.id, np.zeros((len(t), 2)), np.ones((len(t), 2))) for t in corpus]
    write_overlay(corpus, labels, name="backup-1", model="0" * 64, algorithm="lawm")
    disk.flip(disk.shard(copy, 1), 8)
    repair(copy)
    assert (copy / "backup-1").is_dir()
    repair(copy, tmp_path / "out")
    assert not (tmp_path / "out" / "backup-1").exists()
    assert open_corpus(tmp_path / "out").with_labels("backup-1").label_counts()["inferred"] > 0


def test_ids_that_damage_has_made_equal_are_told_apart(tmp_path: Path, disk) -> None:
    path, rng = tmp_path / "c", np.random.default_rng(0)
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    state = [ArraySpec(name="position", shape=(2,))]
    writer = CorpusWriter.create(path, observations=state, action=action)
    same, rewards = rng.random((4, 2)), rng.random(3)
    for _ in range(2):  # the same observations with other actions
        for values in (same, rng.random((4, 2))):
            writer.add(
                {"position": values}, rewards, rng.random((3, 1)), provenance=Provenance(source="s")
            )
        writer.commit()
    writer.discard()
    before = open_corpus(path)
    assert before.table.id[2] == before.table.id[0] + "-2"
    file = disk.shard(path, 1)
    disk.flip(file, disk.place(file, "table/id", 0) + 16, bit=7)  # no letter any more
    disk.flip(file, disk.place(file, "steps", 5))
    done = repair(path)
    assert len(done.lost) == 1
    assert open_corpus(path, verify=True).table.id.tolist() == before.table.id[:3].tolist()
    assert validate(path) == []


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_lost_manifest_is_made_again(pristine: Path, copy: Path, text: str | None, disk) -> None:
    manifest = copy / "corpus.json"
    manifest.unlink() if text is None else manifest.write_text(text)
    repair(copy)
    assert manifest.read_bytes() == (pristine / "corpus.json").read_bytes()
    disk.require_repaired(pristine, copy, set())


@pytest.mark.parametrize(
    "name",
    [".tmp-7-0123abcd-x.h5", "a name.h5", "a.b.h5", "ü.h5", f"{'0' * 32}.h5", "0.h5", "b.H5"],
)
@pytest.mark.parametrize("content", ["nothing", "a shard", "half a shard", "a shard of nothing"])
def test_a_lost_manifest_is_made_again_whatever_else_lies_there(
    pristine: Path, copy: Path, name: str, content: str, disk
) -> None:
    """Such as the file of a writer that was killed in the middle of it."""
    whole, stray = disk.shard(copy, 1).read_bytes(), copy / "shards" / name
    if content == "a shard of nothing":
        with h5py.File(stray, "w", track_order=False) as file:
            file["table/digest"] = np.zeros((0, 32), "u1")
    else:
        stray.write_bytes({"nothing": b"", "a shard": whole}.get(content, whole[:-9]))
    (copy / "corpus.json").unlink()
    repair(copy)
    assert not stray.exists()
    assert (copy / "corpus.json").read_bytes() == (pristine / "corpus.json").read_bytes()
    disk.require_repaired(pristine, copy, set())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('],\n  "licence": null', '],\n  "licence": "MIT"'),  # of somebody who knows better
        ('"agent": null', '"agent": "sac"'),
        ('"name": "position"', '"name": "positiom"'),
        ('"dtype": "uint8"', '"dtype": "int32"'),
        ('"trajectories": 2', '"trajectories": 3'),
        ('"fingerprint": "', '"fingerprint": "0'),
        ('.h5"', '_.h5"'),
        ('"bytes": 2', '"bytes": 3'),
        ('"checksum": "', '"checksum": "0'),
    ],
)
def test_an_altered_manifest_costs_nothing(
    pristine: Path, copy: Path, old: str, new: str, disk
) -> None:
    """What the shards prove is taken from them, and the rest stays as it is found."""
    file = copy / "corpus.json"
    text = file.read_text()
    assert old in text
    digits = 1 if new.endswith(f"{old}0") else 0  # a checksum keeps its length
    at = text.index(old) + len(old)
    file.write_text(text[: at - len(old)] + new + text[at + digits :])
    with pytest.raises(CorpusError):
        open_corpus(copy)
    assert "error" in {finding.severity for finding in validate(copy)}
    assert disk.content(copy)["corpus.json"] == file.read_bytes()
    done = repair(copy)
    assert (done.lost, done.unproven) == ([], [])
    disk.require_repaired(pristine, copy, set())
    assert open_corpus(copy).with_mask("half").with_labels("idm").label_counts()["inferred"] >= 1
    manifest = open_corpus(copy).manifest
    if "licence" in old:
        assert manifest.licence == "MIT"
    elif "agent" in old:
        assert manifest.provenance[0].agent == "sac"
    else:
        assert file.read_bytes() == (pristine / "corpus.json").read_bytes()


def test_a_mask_that_its_seed_does_not_choose_is_set_aside(copy: Path) -> None:
    file = copy / "masks" / "half.json"
    mask = open_corpus(copy).masks()["half"]
    file.write_text(mask.model_copy(update={"labeled": mask.labeled[1:]}).to_json())
    assert [finding.severity for finding in validate(copy)] == ["error"]
    done = repair(copy)
    assert done.backup is not None
    assert (done.backup / "masks" / "half.json").is_file()
    assert validate(copy) == []


def alter_agent(copy: Path, disk: Any) -> None:
    """In a manifest whose checksum fits nothing any more."""
    text = (copy / "corpus.json").read_text()
    assert '"agent": null' in text
    (copy / "corpus.json").write_text(text.replace('"agent": null', '"agent": "sac"', 1))


def alter_shard(copy: Path, disk: Any) -> None:
    """In a place that can be worked out."""
    disk.flip(disk.shard(copy, 1), 10)


def lose_manifest(copy: Path, disk: Any) -> None:
    """Which is made again from the shards."""
    (copy / "corpus.json").unlink()


@pytest.mark.parametrize("damage", [alter_agent, alter_shard, lose_manifest])
@pytest.mark.parametrize("change", ["more", "less", "order", "seed", "nobody"])
def test_what_a_seed_does_not_choose_is_set_aside_whatever_else_is_damaged(
    pristine: Path, copy: Path, damage: Callable, change: str, disk: Any
) -> None:
    """A checksum that fits proves nothing where the choice can be made again."""
    corpus = open_corpus(copy)
    whole = save_mask(corpus, make_mask(corpus, 0.5, 7, "sound"))
    mask, sound = corpus.masks()["half"], whole.read_bytes()
    ids = [name for name in corpus.table.id.tolist() if name not in mask.labeled]
    labeled = {
        "more": (*mask.labeled, ids[0]),
        "less": mask.labeled[1:],
        "order": mask.labeled[::-1],
        "nobody": (*mask.labeled, "nobody"),
    }
    others = (make_mask(corpus, 0.5, seed, "half") for seed in range(99))
    other = next(one for one in others if {*one.labeled} != {*mask.labeled})
    update = {"labeled": labeled[change]} if change in labeled else {"seed": other.seed}
    file = copy / "masks" / "half.json"
    file.write_text(mask.model_copy(update=update).to_json())
    damage(copy, disk)
    done = repair(copy)
    assert done.lost == []
    assert done.backup is not None
    assert (done.backup / "masks" / "half.json").is_file()
    assert not file.exists()
    assert whole.read_bytes() == sound
    assert validate(copy) == []


def test_a_mask_whose_trajectories_are_lost_shows_no_more_than_before(copy: Path, disk) -> None:
    """Nothing is left to make its choice again from: it is only cut."""
    mask = open_corpus(copy).masks()["half"]
    file = disk.shard(copy, 0)
    disk.flip(file, disk.place(file, "steps", 0))
    assert len(repair(copy).lost) == 1
    assert {*open_corpus(copy).masks()["half"].labeled} <= {*mask.labeled}
    assert validate(copy) == []


def test_a_draw_by_return_is_made_again_where_rewards_are_missing(
    random_corpus: Callable, disk
) -> None:
    """Which of them are, their metadata says: in sound shards and in those made again."""
    corpus = random_corpus(lengths=[3] * 40, unrewarded=range(0, 40, 3), shards=2)
    for seed in range(3):
        save_mask(corpus, make_mask(corpus, 0.3, seed, f"m{seed}", stratify="return"))
    assert validate(corpus.path) == []
    before = disk.content(corpus.path / "masks")
    disk.flip(disk.shard(corpus.path, 1), 10)
    assert repair(corpus.path).lost == []
    assert disk.content(corpus.path / "masks") == before
    assert validate(corpus.path) == []


def not_finite(arrays: dict[str, np.ndarray]) -> None:
    arrays["mean"][1] = np.nan


def below_zero(arrays: dict[str, np.ndarray]) -> None:
    arrays["std"][1] = -1


def of_another_length(arrays: dict[str, np.ndarray]) -> None:
    """Moves a step from the first trajectory to the second."""
    arrays["length"][:2] += [-1, 1]
    arrays["row"][1] -= 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (not_finite, "not finite"),
        (below_zero, "below zero"),
        (of_another_length, "labels 2 trajectories with more or fewer actions"),
    ],
)
def test_labels_that_cannot_be_are_set_aside(copy: Path, change: Callable, what: str) -> None:
    """Though their checksums were made to fit; sound ones beside them stay."""
    corpus = open_corpus(copy)
    rows = corpus.table.length.tolist()
    width = corpus.manifest.action.size
    labels = [
        (name, np.full((n, width), 0.5), np.ones((n, width)))
        for name, n in zip(corpus.table.id.tolist(), rows, strict=True)
    ]
    write_overlay(corpus, labels, name="other", model="0" * 64, algorithm="lawm")
    folder = copy / "labels" / "other"
    with h5py.File(folder / "actions.h5", "r+") as file:
        arrays = {name: file[name][()] for name in ("mean", "std", "length", "row")}
        change(arrays)
        for name, array in arrays.items():
            file[name][...] = array
    info = read_overlay(folder)
    sha256 = hashlib.sha256((folder / "actions.h5").read_bytes()).hexdigest()
    (folder / "overlay.json").write_text(info.model_copy(update={"sha256": sha256}).to_json())
    assert [what in finding.what for finding in validate(copy)] == [True]
    with pytest.raises(CorpusError, match=f"{what}.*--replace"):
        open_corpus(copy).with_labels("other")
    done = repair(copy)
    assert done.backup is not None
    assert (done.backup / "labels" / "other" / "actions.h5").is_file()
    assert open_corpus(copy).with_labels("idm").label_counts()["inferred"] >= 1
    assert validate(copy) == []


def test_a_newer_format_is_not_damage(copy: Path) -> None:
    manifest = copy / "corpus.json"
    text = manifest.read_text().replace('"format_version": 1', '"format_version": 2')
    manifest.write_text(text)
    with pytest.raises(CorpusError, match="upgrade lawm"):
        repair(copy)
    assert manifest.read_text() == text


def test_a_lost_manifest_and_a_damaged_shard(pristine: Path, copy: Path, disk) -> None:
    file = disk.shard(copy, 1)
    disk.flip(file, disk.place(file, "steps", 2))
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
def test_a_wrong_manifest_is_corrected(pristine: Path, copy: Path, change: dict, disk) -> None:
    manifest = json.loads((copy / "corpus.json").read_text())
    del manifest["checksum"]
    for key, value in change.items():
        manifest[key] = value(manifest[key]) if callable(value) else value
    (copy / "corpus.json").write_text(json.dumps(manifest))
    done = repair(copy)
    assert done.lost == []
    assert (copy / "corpus.json").read_bytes() == (pristine / "corpus.json").read_bytes()
    disk.require_repaired(pristine, copy, set())


def test_sources_that_the_manifest_lacks_are_unknown(pristine: Path, copy: Path) -> None:
    manifest = json.loads((copy / "corpus.json").read_text())
    del manifest["checksum"]
    manifest["provenance"] = manifest["provenance"][:1]
    (copy / "corpus.json").write_text(json.dumps(manifest))
    assert [finding for finding in validate(copy) if finding.severity == "error"]
    assert repair(copy).lost == []
    assert not [finding for finding in validate(copy) if finding.severity == "error"]
    after = open_corpus(copy)
    assert after.table.id.tolist() == open_corpus(pristine).table.id.tolist()
    assert {entry.source for entry in after.manifest.provenance[1:]} == {"unknown"}


def test_masks_and_overlays_are_restricted(pristine: Path, copy: Path, disk) -> None:
    old = open_corpus(pristine)
    mask = old.masks()["half"]
    gone = old.table.id.tolist().index(mask.labeled[0])
    file = disk.shard(copy, gone // 2)
    row = 1 if gone % 2 == 0 else (9, 4, 12, 6, 20, 7)[gone - 1] + 2
    disk.flip(file, disk.place(file, "steps", row))
    (copy / "masks" / "broken.json").write_text("{")
    done = repair(copy)
    new = disk.require_repaired(pristine, copy, {gone})
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


def test_what_was_inferred_under_a_mask_goes_with_what_is_left_of_it(
    copy: Path, tmp_path: Path, disk, is_killed: Callable
) -> None:
    """Also when the repair was killed; and an error over what is lost is no longer told."""
    corpus = open_corpus(copy)
    view, other = (corpus.with_mask(make_mask(corpus, 0.5, s, f"m{s}")) for s in (1, 2))
    for each in (view, other):
        save_mask(corpus, each.mask)
        hidden = [t.info.id for t in each if t.actions is None]
        lengths = dict(zip(corpus.table.id.tolist(), corpus.table.length.tolist(), strict=True))
        labels = [(n, np.zeros((lengths[n], 2)), np.ones((lengths[n], 2))) for n in hidden]
        write_overlay(each, labels, name=each.mask.name, model="0" * 64, algorithm="a", r2=0.5)
    assert view.mask.labeled != other.mask.labeled
    gone = next(name for name in view.mask.labeled if name not in other.mask.labeled)
    place = corpus.table.id.tolist().index(gone)
    file = disk.shard(copy, place // 2)
    disk.flip(file, disk.place(file, "steps", int(corpus.index.row[place])))

    def require_repaired(path: Path) -> None:
        assert [loss.id for loss in repair(path).lost] in ([gone], [])
        new = open_corpus(path)
        for name, r2 in (("m1", 0.5), ("m2", None)):
            labeled = new.with_mask(name).with_labels(name)
            require_same_mask(labeled)
            assert read_overlay(path / "labels" / name).r2 == r2
            assert gone not in labeled.table.id

    deaths, dies = 0, True
    while dies:
        deaths += 4
        other = Path(shutil.copytree(copy, tmp_path / str(deaths)))
        dies = is_killed(lambda other=other: repair(other), deaths, True)
        require_repaired(other)
    assert deaths > 10
    assert validate(other) == []
    assert repair(other).changes == []


def test_leftovers_are_removed_and_shards_among_them_kept(pristine: Path, copy: Path, disk) -> None:
    (copy / ".tmp-1-x").write_text("x")
    (copy / "masks" / ".tmp-1-y").write_text("y")
    (copy / "labels" / "idm").rename(copy / "labels" / ".idm.replaced")
    stray = copy / "shards" / f"{'0' * 32}.h5"
    stray.write_bytes(b"perhaps somebody wants it")
    somebodys = copy / "shards" / "good"
    somebodys.mkdir()
    assert len([f for f in validate(copy) if "left over" in f.what]) == 4
    done = repair(copy)
    disk.require_repaired(pristine, copy, set())
    assert open_corpus(copy).with_labels("idm").label_counts()["inferred"] == 1
    assert done.backup is not None
    assert (done.backup / "shards" / stray.name).read_bytes() == b"perhaps somebody wants it"
    assert somebodys.is_dir()


def test_masks_that_are_none_are_set_aside(pristine: Path, copy: Path, disk) -> None:
    (copy / "masks" / "folder.json").mkdir()
    (copy / "masks" / "folder.json" / "note").write_text("somebody's")
    mask = json.loads((copy / "masks" / "half.json").read_text())
    twice = {**mask, "name": "twice", "labeled": [mask["labeled"][0], *mask["labeled"]]}
    (copy / "masks" / "twice.json").write_text(json.dumps(twice))
    found = {Path(f.where).stem: f for f in validate(copy)}
    assert {name: f.severity for name, f in found.items()} == {
        "folder": "error",
        "twice": "error",
    }
    assert "is a folder, not a mask" in found["folder"].what
    assert f"trajectory {mask['labeled'][0]} stands twice" in found["twice"].what
    done = repair(copy)
    disk.require_repaired(pristine, copy, set())
    assert open_corpus(copy).masks().keys() == {"half"}
    assert done.backup is not None
    assert (done.backup / "masks" / "folder.json" / "note").read_text() == "somebody's"
    assert json.loads((done.backup / "masks" / "twice.json").read_text()) == twice


@pytest.mark.parametrize("name", ["masks", "labels"])
def test_files_in_the_place_of_folders_are_set_aside(copy: Path, name: str) -> None:
    shutil.rmtree(copy / name)
    (copy / name).write_text("what is this")
    (finding,) = [f for f in validate(copy) if f.severity == "error"]
    assert finding.where == str(copy / name)
    assert finding.what == f"is a file, not the folder of {name}"
    assert "lawm-data repair" in finding.hint
    done = repair(copy)
    assert done.backup is not None
    assert (done.backup / name).read_text() == "what is this"
    assert not (copy / name).exists()
    assert validate(copy) == []


def test_a_manifest_that_is_a_folder_is_made_again(pristine: Path, copy: Path, disk) -> None:
    text = (copy / "corpus.json").read_text()
    (copy / "corpus.json").unlink()
    (copy / "corpus.json").mkdir()
    repair(copy)
    assert (copy / "corpus.json").read_text() == text
    disk.require_repaired(pristine, copy, set())


@ANYWHERE
def test_a_repair_that_is_killed_while_it_removes_an_overlay_leaves_no_part(
    copy: Path, tmp_path: Path, is_killed: Callable, names: bool
) -> None:
    damaged = copy / "labels/idm/actions.h5"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    number, killed = 0, True
    while killed:
        number += 1
        tried = Path(shutil.copytree(copy, tmp_path / str(number)))
        killed = is_killed(lambda tried=tried: repair(tried), number, names)
        repair(tried)
        assert not list((tried / "labels").iterdir())
        assert (tried / "backup-1/labels/idm/actions.h5").read_bytes() == damaged.read_bytes()
