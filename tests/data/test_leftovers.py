from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from lawm_schemas import ArraySpec, Role

from lawm_data import CorpusWriter, open_corpus, validate
from lawm_data.atomic import TEMPORARY


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
    warned = {Path(finding.where).name for finding in validate(path)}
    assert warned == {
        f"{TEMPORARY}9-x.h5",
        f"{'0' * 32}.h5",
        "notes.txt",
        f"{TEMPORARY}9-corpus.json",
    }
    CorpusWriter.append(path).close()
    # Only what writers make is theirs to remove.
    assert files(path) == sorted([*kept, "notes.txt"])
    assert not list(path.glob(f"{TEMPORARY}*"))
