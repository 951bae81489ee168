"""Locks: they touch nothing but a lock, and say truly why they cannot be had."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import StorageError

from lawm_data import (
    Corpus,
    CorpusWriter,
    filter_corpus,
    make_mask,
    open_corpus,
    save_mask,
    summarize,
    write_overlay,
)
from lawm_data.corpus.integrity.repair import repair
from lawm_data.system.atomic import WriterLock, hold, is_locked
from lawm_data.system.output import new_output


def _output(folder: Path) -> None:
    with new_output(folder / "out") as temporary:
        temporary.write_text("whole")


TAKERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "of a folder": (".lock", lambda folder: WriterLock(folder, "run").release()),
    "of an output": (".tmp-lock-out", _output),
}
PRECIOUS = "precious data"


def _link(lock: Path, victim: Path) -> None:
    lock.symlink_to(victim)


PLACES: dict[str, Callable[[Path, Path], object]] = {
    "link": _link,
    "folder": lambda lock, victim: lock.mkdir(),
    "device or pipe": lambda lock, victim: os.mkfifo(lock),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("there", [True, False])
def test_what_stands_in_the_place_of_a_lock_is_refused(
    tmp_path: Path, taker: str, kind: str, there: bool
) -> None:
    name, take = TAKERS[taker]
    victim, folder = tmp_path / "victim.txt", tmp_path / "folder"
    folder.mkdir()
    if there:
        victim.write_text(PRECIOUS)
    PLACES[kind](folder / name, victim)
    with pytest.raises(StorageError, match=f"{name}: is a {kind} in the place of a lock"):
        take(folder)
    assert victim.exists() == there
    assert not there or victim.read_text() == PRECIOUS
    assert [entry.name for entry in folder.iterdir()] == [name]


@pytest.mark.parametrize("taker", TAKERS)
def test_a_second_name_of_something_else_keeps_its_content(tmp_path: Path, taker: str) -> None:
    name, take = TAKERS[taker]
    victim, folder = tmp_path / "victim.txt", tmp_path / "folder"
    folder.mkdir()
    victim.write_text(PRECIOUS)
    os.link(victim, folder / name)
    take(folder)
    assert victim.read_text() == PRECIOUS


@pytest.mark.parametrize("kind", PLACES)
def test_what_only_reads_does_not_wait_for_a_lock(random_corpus: Callable, kind: str) -> None:
    corpus = random_corpus()
    (corpus.path / ".lock").unlink()
    PLACES[kind](corpus.path / ".lock", Path("/dev/zero"))
    assert summarize(corpus)["leftovers"] == []


def test_a_foreign_corpus_leads_nowhere(random_corpus: Callable, tmp_path: Path) -> None:
    """Neither its lock, nor its folder of shards, in which a writer removes what is no shard."""
    corpus = random_corpus()
    victim = tmp_path / "victim.txt"
    victim.write_text(PRECIOUS)
    (corpus.path / ".lock").unlink()
    (corpus.path / ".lock").symlink_to(victim)
    for write in (CorpusWriter.append, repair):
        with pytest.raises(StorageError, match=r"\.lock: is a link in the place of a lock"):
            write(corpus.path)
    filter_corpus(corpus, "length > 3", tmp_path / "derived")  # which only reads it
    assert victim.read_text() == PRECIOUS
    (corpus.path / ".lock").unlink()
    other = random_corpus("other", seed=1)
    theirs = sorted((other.path / "shards").iterdir())
    for shard in (corpus.path / "shards").iterdir():
        shard.rename(other.path / "shards" / shard.name)
    (corpus.path / "shards").rmdir()
    (corpus.path / "shards").symlink_to(other.path / "shards")
    with pytest.raises(StorageError, match="shards: is a link: nothing is written through it"):
        CorpusWriter.append(corpus.path)
    repair(corpus.path)  # nothing is to be repaired
    assert set(theirs) < set((other.path / "shards").iterdir())


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_names_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taker: str, number: int
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    name, take = TAKERS[taker]
    (tmp_path / name).write_text("1")
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError) as refused:
        take(tmp_path)
    assert refused.value.what == f"its file system gives no locks ({os.strerror(number)})"
    assert refused.value.hint == "choose a place on another file system"


def test_who_holds_a_lock_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lawm_data.system.atomic import WriterLock\n"
        "lock = WriterLock(Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StorageError, match=f"process {process.pid} is writing to this corpus"):
            WriterLock(tmp_path)
        process.communicate()
    WriterLock(tmp_path).release()
    assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_a_lock_that_was_removed_meanwhile_is_no_lock(tmp_path: Path) -> None:
    """Whoever holds the file of this name is the only one, though others had one before."""
    lock = WriterLock(tmp_path)
    lock.withdraw()
    assert not (tmp_path / ".lock").exists()
    descriptor = hold(tmp_path / ".lock", "it", "corpus")
    with pytest.raises(StorageError, match="is writing to this corpus"):
        WriterLock(tmp_path)
    os.close(descriptor)
    kept = WriterLock(tmp_path)
    kept.withdraw()
    assert (tmp_path / ".lock").exists()  # it was there before


def _flipped(corpus: Corpus) -> None:
    (corpus.path / "masks").mkdir(exist_ok=True)
    (corpus.path / "masks/x.json").write_text("nonsense")


WRITERS: dict[str, tuple[str, Callable[[Corpus], object]]] = {
    "mask": ("masks", lambda corpus: save_mask(corpus, make_mask(corpus, 0.5, 0, "half"))),
    "overlay": ("labels", lambda corpus: _labelled(corpus)),
    "append": ("shards", lambda corpus: CorpusWriter.append(corpus.path)),
    "repair": ("shards", lambda corpus: (_flipped(corpus), repair(corpus.path))),
}


def _labelled(corpus: Corpus) -> None:
    shape = (int(corpus.table.length[0]), corpus.manifest.action.size)
    labels = [(str(corpus.table.id[0]), np.zeros(shape), np.ones(shape))]
    write_overlay(corpus, labels, name="idm", model="m", algorithm="lawm")


@pytest.mark.parametrize("writer", WRITERS)
def test_nothing_is_written_through_a_folder_that_is_a_link(
    tmp_path: Path, random_corpus: Callable[..., Corpus], writer: str
) -> None:
    (name, write), corpus, outside = WRITERS[writer], random_corpus(), tmp_path / "outside"
    folder = corpus.path / name
    if folder.exists():
        folder.rename(outside)
    else:
        outside.mkdir()
    folder.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(StorageError, match=f"{name}.*is a link: nothing is written through it"):
        write(open_corpus(corpus.path))
    assert sorted(outside.rglob("*")) == before
    folder.unlink()
    outside.rename(folder)  # as the message says
    write(open_corpus(corpus.path))


def test_a_lock_is_asked_about_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "free").mkdir()
    lock = WriterLock(tmp_path / "free")
    assert is_locked(tmp_path / "free")
    lock.release()
    assert not is_locked(tmp_path / "free")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / ".lock")
    assert not is_locked(tmp_path / "pipe")
