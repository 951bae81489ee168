"""A repair as a whole: what it leaves alone, and that it can be killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import StorageError

from lawm_data import open_corpus
from lawm_data.corpus.integrity.repair import repair
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


def test_a_killed_repair_is_finished_by_another(pristine: Path, copy: Path, disk) -> None:
    """It dies at every single rename, without any clean-up, until it gets through."""
    file = disk.shard(copy, 0)
    disk.flip(file, disk.place(file, "steps", 0))
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
    disk.require_repaired(pristine, copy, {0})
    assert open_corpus(copy).with_mask("half").with_labels("idm").label_counts()["inferred"] >= 1
