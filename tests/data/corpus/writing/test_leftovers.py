from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import ArraySpec, Role, StorageError

from lawm_data import Corpus, CorpusWriter, open_corpus
from lawm_data.corpus.integrity.repair import repair as restore
from lawm_data.corpus.integrity.validate import validate
from lawm_data.system.atomic import REPLACED, TEMPORARY, write_folder


def files(path: Path) -> list[str]:
    return sorted(entry.name for entry in (path / "shards").iterdir())


def test_creating_continues_where_a_dead_writer_stopped_before_its_manifest(
    tmp_path: Path,
) -> None:
    (tmp_path / "corpus/shards").mkdir(parents=True)
    (tmp_path / "corpus/.lock").touch()
    (tmp_path / f"corpus/{TEMPORARY}1-corpus.json").touch()
    specs = [ArraySpec(name="position", shape=(3,))]
    action = ArraySpec(name="action", shape=(2,), role=Role.action)
    CorpusWriter.create(tmp_path / "corpus", observations=specs, action=action).close()
    assert sorted(os.listdir(tmp_path / "corpus")) == [".lock", "corpus.json", "shards"]


def test_leftovers_are_ignored_and_then_removed(random_corpus: Callable) -> None:
    path = random_corpus().path
    kept = files(path)
    for name in (f"{TEMPORARY}9-x.h5", f"{'0' * 32}.h5", "notes.txt"):
        (path / "shards" / name).write_text("half")
    (path / f"{TEMPORARY}9-corpus.json").write_text("{")
    assert len(open_corpus(path, verify=True)) == 8
    (path / "masks").mkdir()
    (path / "masks" / f"{TEMPORARY}9-m.json").write_text("{")
    (path / "shards" / f"{'1' * 32}.h5").mkdir()
    warned = {Path(finding.where).name: finding.hint for finding in validate(path)}
    next_one, repair = "the next writer removes it", "lawm-data repair removes it"
    assert warned == {
        f"{TEMPORARY}9-x.h5": next_one,
        f"{'0' * 32}.h5": next_one,
        "notes.txt": repair,
        f"{TEMPORARY}9-corpus.json": next_one,
        f"{TEMPORARY}9-m.json": repair,
    }
    CorpusWriter.append(path).close()
    # Only what writers make is theirs to remove.
    assert files(path) == sorted([*kept, "notes.txt", f"{'1' * 32}.h5"])
    assert not list(path.glob(f"{TEMPORARY}*"))
    assert {Path(f.where).name for f in validate(path)} == {"notes.txt", f"{TEMPORARY}9-m.json"}
    restore(path)
    assert validate(path) == []


def test_a_folder_is_replaced_after_a_writer_was_killed_while_it_did_so(tmp_path: Path) -> None:
    old = tmp_path / f".labels{REPLACED}"
    for there in (True, False):
        old.mkdir()
        (old / "file").write_text("oldest")
        if there:
            write_folder(tmp_path / "labels", {"file": b"old"})
        write_folder(tmp_path / "labels", {"file": b"new"})
        assert (tmp_path / "labels" / "file").read_bytes() == b"new"
        assert os.listdir(tmp_path) == ["labels"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_that_is_replaced_is_the_old_one_or_the_new_one(
    tmp_path: Path,
    is_killed: Callable[[Callable[[], object], int], bool],
    monkeypatch: pytest.MonkeyPatch,
    at_once: bool,
) -> None:
    if not at_once:  # as on a system whose library has no renameat2
        monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    folder, number, killed = tmp_path / "labels", 0, True
    seen = set()
    while killed:
        number += 1
        write_folder(folder, {"a": b"old"})
        killed = is_killed(lambda: write_folder(folder, {"a": b"new"}), number)
        seen.add((folder / "a").read_bytes() if folder.exists() else b"")
        write_folder(tmp_path / "other", {})  # the next writer
        assert sorted(path.name for path in tmp_path.iterdir()) == ["labels", "other"]
        assert (folder / "a").read_bytes() in (b"old", b"new")
    assert seen == {b"old", b"new"} | ({b""} if not at_once else set())


def test_shards_that_have_lost_their_corpus_json_are_not_written_over(
    random_corpus: Callable[..., Corpus],
) -> None:
    corpus = random_corpus()
    before = files(corpus.path)
    (corpus.path / "corpus.json").unlink()
    specs = {"observations": corpus.manifest.observations, "action": corpus.manifest.action}
    with pytest.raises(StorageError, match=r"corpus\.json is lost; let lawm-data repair make it"):
        CorpusWriter.create(corpus.path, **specs)
    assert files(corpus.path) == before
    restore(corpus.path)  # as the message says
    assert open_corpus(corpus.path).fingerprint == corpus.fingerprint
