"""Outputs appear whole or not at all, and what dead processes left of them goes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import StorageError

from lawm_data import filter_corpus, merge_corpora, open_corpus, split_corpus, summarize, write_tier
from lawm_data.curation.tier import Band
from lawm_data.system.atomic import TEMPORARY, temporary_name
from lawm_data.system.output import abandoned, claimed, new_output

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
from lawm_data.corpus.writer import CorpusWriter
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
    place = out / "a" if name == "split" else out
    assert not place.exists()
    assert abandoned(place)
    OPERATIONS[name](corpus, out)
    assert beside(place) == []
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
