"""What a repair does about the manifest, masks, overlays and leftovers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import CorpusError

from lawm_data import open_corpus
from lawm_data.corpus.commit import merge
from lawm_data.corpus.encode import write_shard
from lawm_data.corpus.integrity.repair import repair
from lawm_data.corpus.integrity.validate import validate
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.shard import open_shard


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_lost_manifest_is_made_again(pristine: Path, copy: Path, text: str | None, disk) -> None:
    manifest = copy / "corpus.json"
    manifest.unlink() if text is None else manifest.write_text(text)
    repair(copy)
    assert manifest.read_bytes() == (pristine / "corpus.json").read_bytes()
    disk.require_repaired(pristine, copy, set())


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
    for key, value in change.items():
        manifest[key] = value(manifest[key]) if callable(value) else value
    (copy / "corpus.json").write_text(json.dumps(manifest))
    done = repair(copy)
    assert done.lost == []
    assert (copy / "corpus.json").read_bytes() == (pristine / "corpus.json").read_bytes()
    disk.require_repaired(pristine, copy, set())


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
    said = {Path(f.where).stem: f for f in validate(copy)}
    assert {name: f.severity for name, f in said.items()} == {"folder": "error", "twice": "error"}
    assert "is a folder, not a mask" in said["folder"].what
    assert f"trajectory {mask['labeled'][0]} stands twice" in said["twice"].what
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
