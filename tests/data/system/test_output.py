"""Outputs appear whole or not at all, and what dead processes left of them goes."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import StorageError

from lawm_data import (
    Corpus,
    filter_corpus,
    make_mask,
    merge_corpora,
    open_corpus,
    save_mask,
    split_corpus,
    summarize,
    write_overlay,
    write_tier,
)
from lawm_data.corpus.integrity.validate import validate
from lawm_data.curation.tier import Band
from lawm_data.system.atomic import REPLACED, TEMPORARY, temporary_name, write_file
from lawm_data.system.output import abandoned, claimed, new_output, scratch_folder

DEAD = 2**22 + 1
"""No process has this number: it is beyond the largest."""
OPERATIONS = {
    "filter": lambda corpus, out: filter_corpus(corpus, "length > 3", out),
    "merge": lambda corpus, out: merge_corpora([corpus], out),
    "split": lambda corpus, out: split_corpus(corpus, {"a": 0.5, "b": 0.5}, out),
    "tier": lambda corpus, out: write_tier([corpus], "expert", 4, out, returns=Band(-1e9, None)),
}
KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_output import OPERATIONS
from lawm_data import open_corpus
from lawm_data.corpus.writing.writer import CorpusWriter
left = {commits}
commit = CorpusWriter.commit
def die(self):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    commit(self)
CorpusWriter.commit = die
OPERATIONS[{name!r}](open_corpus({corpus!r}), Path({out!r}))
"""


def beside(out: Path) -> list[str]:
    return sorted(entry.name for entry in out.parent.iterdir() if entry.name.startswith("."))


@pytest.mark.parametrize(
    ("name", "commits"), [("filter", 0), ("merge", 0), ("tier", 0), ("split", 0), ("split", 1)]
)
def test_after_a_kill_the_same_again_leaves_nothing_but_its_output(
    random_corpus: Callable, tmp_path: Path, name: str, commits: int
) -> None:
    corpus, out = random_corpus(), tmp_path / "made" / "out"
    code = KILLED.format(
        tests=str(Path(__file__).parent),
        name=name,
        commits=commits,
        corpus=str(corpus.path),
        out=str(out),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()
    assert abandoned(out)
    OPERATIONS[name](corpus, out)
    assert beside(out) == []
    place = out / "a" if name == "split" else out
    assert summarize(open_corpus(place))["leftovers"] == []


def test_only_what_was_to_become_this_very_output_is_removed(tmp_path: Path) -> None:
    def name(out: str, process: int = DEAD) -> str:
        return f"{TEMPORARY}{process}-0123abcd-{out}"

    dead = [name("b"), name("b", os.getpid()), f"{TEMPORARY}lock-{name('b')}", name(name("b"))]
    others = [name("a-b"), name("bb"), name("b.json"), ".tmp-b", "b.replaced", name("[b]")]
    for entry in (*dead, *others):
        (tmp_path / entry).mkdir()
        (tmp_path / entry / "file").touch()
    with new_output(tmp_path / "b") as place:
        assert {*beside(tmp_path / "b")} == {*others[:4], name("[b]"), f"{TEMPORARY}lock-b"}
        place.mkdir()
    assert {entry.name for entry in tmp_path.iterdir()} == {"b", *others}
    with claimed(tmp_path / "[b]"):
        assert not (tmp_path / name("[b]")).exists()


def test_what_a_living_process_makes_is_not_touched(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lawm_data.system.output import new_output\n"
        "with new_output(Path(sys.argv[1])) as place:\n"
        "    place.mkdir(); print(place, flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "out")]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        place = Path(process.stdout.readline().strip())
        assert abandoned(tmp_path / "out") == []
        refusal = f"process {process.pid} is writing to this output"
        with pytest.raises(StorageError, match=refusal), new_output(tmp_path / "out"):
            pass
        assert place.is_dir()
        process.communicate()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def stop(make: Callable[[Path], None]) -> None:
        with new_output(tmp_path / "new" / "er" / "out") as place:
            make(place)
            raise KeyboardInterrupt

    for make in (Path.mkdir, Path.touch, lambda place: None):
        with pytest.raises(KeyboardInterrupt):
            stop(make)
        assert list(tmp_path.iterdir()) == []


def test_a_file_appears_too(tmp_path: Path) -> None:
    with new_output(tmp_path / "new" / "out.txt") as place:
        place.write_text("whole")
        assert not (tmp_path / "new" / "out.txt").exists()
    assert [path.read_text() for path in (tmp_path / "new").iterdir()] == ["whole"]


def test_what_came_there_meanwhile_is_kept(tmp_path: Path) -> None:
    def race() -> None:
        with new_output(tmp_path / "out") as place:
            place.mkdir()
            (tmp_path / "out").mkdir()

    with pytest.raises(StorageError, match="something is already there"):
        race()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_info_tells_what_dead_writers_left(random_corpus: Callable) -> None:
    corpus = random_corpus()
    (corpus.path / ".lock").write_text(str(DEAD))
    inside = corpus.path / "shards" / f"{TEMPORARY}{DEAD}-0123abcd-x.h5"
    inside.touch()
    (place := temporary_name(corpus.path)).mkdir()
    assert summarize(corpus)["leftovers"] == [str(inside)]  # this process is alive
    gone = place.rename(place.with_name(place.name.replace(str(os.getpid()), str(DEAD))))
    assert summarize(corpus)["leftovers"] == [str(inside), str(gone)]


def test_what_the_disk_refuses_is_said_of_the_place_that_was_asked_for(tmp_path: Path) -> None:
    def write() -> None:
        with new_output(tmp_path / "made" / "out") as temporary:
            temporary.mkdir()
            raise StorageError("is full", str(temporary / "shards" / "x.h5"), "wait")

    with pytest.raises(StorageError, match=f"^{tmp_path}/made/out/shards/x.h5: is full; wait$"):
        write()
    assert not list(tmp_path.iterdir())


def _label(corpus: Corpus, value: float) -> None:
    labels = [(t.info.id, np.full((len(t), 3), value), np.ones((len(t), 3))) for t in corpus]
    write_overlay(corpus, labels, name="idm", model="m", algorithm="lawm", replace=True)


WRITERS = {
    "mask": lambda corpus, out: save_mask(corpus, make_mask(corpus, 0.5, 0, "new")),
    "mask --replace": lambda corpus, out: save_mask(
        corpus, make_mask(corpus, 0.25, 1, "old"), replace=True
    ),
    "relabel": lambda corpus, out: _label(corpus, 0.5),
    "filter": OPERATIONS["filter"],
    "split": OPERATIONS["split"],
    "split, beside others": lambda corpus, out: split_beside(corpus, out),
    "a file": lambda corpus, out: write_file(out, b"new"),
    "a film": lambda corpus, out: scratch(out),
}

WHOLE = {"filter": ["shards"], "split": ["a", "b"], "split, beside others": ["a", "b", "c"]}
"""What is there when nothing is left to do, so that the same again is refused."""


def split_beside(corpus: Corpus, out: Path) -> None:
    out.mkdir(exist_ok=True)
    (out / "other").touch()
    split_corpus(corpus, {"a": 0.5, "b": 0.25, "c": 0.25}, out)


def scratch(out: Path) -> None:
    with scratch_folder("test") as folder:
        (folder / "film").write_text("new")
        write_file(out, (folder / "film").read_bytes())


LONG = ("filter", "split", "split, beside others")
"""Those that change up to a hundred things; quick tests kill two before every third name."""


@pytest.mark.parametrize(
    ("name", "names"),
    [pytest.param(n, True, id=f"{n}, before names change") for n in LONG[:2]]
    + [
        pytest.param(n, False, id=n, marks=[pytest.mark.slow] if n in LONG else []) for n in WRITERS
    ],
)
def test_killed_anywhere_the_same_again_leaves_nothing_but_its_output(
    random_corpus: Callable,
    tmp_path: Path,
    name: str,
    names: bool,
    is_killed: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It dies before every change, without any clean-up."""
    original = random_corpus()
    save_mask(original, make_mask(original, 0.5, 0, "old"))
    _label(original, 0.25)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    deaths, dies, whole = 0, True, None
    while dies:
        deaths += 3 if names else 1
        place = tmp_path / f"try-{deaths}"
        corpus = open_corpus(shutil.copytree(original.path, place / "corpus"))
        out = place / "out"
        dies = is_killed(lambda corpus=corpus, out=out: WRITERS[name](corpus, out), deaths, names)
        assert open_corpus(corpus.path, verify=True).fingerprint == original.fingerprint
        with contextlib.ExitStack() as refused:
            if name in WHOLE and all((out / part).exists() for part in WHOLE[name]):
                refused.enter_context(pytest.raises(StorageError, match="already there"))
            WRITERS[name](corpus, out)
        found = [entry.name for entry in (*place.rglob(".*"), *(tmp_path / "tmp").iterdir())]
        assert [entry for entry in found if entry != ".lock"] == []
        assert validate(corpus.path) == []
        content = sorted(p.relative_to(place) for p in place.rglob("*") if p.suffix != ".lock")
        whole = content if whole is None else whole
        assert content == whole
        shutil.rmtree(place)
    assert deaths > 3


def test_another_name_clears_up_what_a_killed_writer_left(
    random_corpus: Callable, is_killed: Callable
) -> None:
    corpus = random_corpus()
    _label(corpus, 0.25)
    masks = [make_mask(corpus, share, 0, name) for share, name in ((0.5, "a"), (0.25, "b"))]
    assert is_killed(lambda: save_mask(corpus, masks[0]), 3)
    assert beside(corpus.path / "masks" / "a.json") != []
    save_mask(corpus, masks[1])
    assert [entry.name for entry in (corpus.path / "masks").iterdir()] == ["b.json"]
    # an overlay that was giving way gets its name back
    (corpus.path / "labels" / "idm").rename(corpus.path / "labels" / f".idm{REPLACED}")
    labels = [(t.info.id, np.zeros((len(t), 3)), np.ones((len(t), 3))) for t in corpus]
    write_overlay(corpus, labels, name="other", model="m", algorithm="lawm")
    assert sorted(os.listdir(corpus.path / "labels")) == ["idm", "other"]


def test_what_somebody_is_writing_stays(tmp_path: Path) -> None:
    """Their lock tells, not the number in the name."""
    code = (
        "import sys; from pathlib import Path; from lawm_data.system import atomic\n"
        "real = atomic.os.replace\n"
        "def wait(*paths): print(flush=True); sys.stdin.read(); real(*paths)\n"
        "atomic.os.replace = wait\n"
        "atomic.write_file(Path(sys.argv[1]), b'theirs')"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "file")]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (held,) = tmp_path.iterdir()
        write_file(tmp_path / "file", b"mine")
        assert held.read_bytes() == b"theirs"
        process.communicate()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"theirs")]
    dead = held.with_name(held.name.replace(str(process.pid), str(os.getpid())))
    dead.write_bytes(b"")
    write_file(tmp_path / "file", b"mine")
    assert not dead.exists()


def test_folders_among_the_temporary_files_go_with_their_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_killed: Callable
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fill() -> None:
        with scratch_folder("push") as folder:
            (folder / "copy").mkdir()
            (folder / "copy" / "shard").write_bytes(b"x")
            (folder / "more").mkdir()

    others = tmp_path / "lawm-push-held-link"
    others.symlink_to(tmp_path.parent)
    assert is_killed(fill, 4)
    (left,) = set(tmp_path.iterdir()) - {others}
    assert (left / "copy" / "shard").is_file()
    with scratch_folder("push") as mine, scratch_folder("push") as second:
        assert set(tmp_path.iterdir()) == {mine, second, others}
    assert set(tmp_path.iterdir()) == {others}
