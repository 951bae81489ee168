"""``lawm-data validate``, ``repair`` and ``render``."""

from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import CorpusWriter, open_corpus


def test_replay_and_comparison_are_told(run, corpus: Path, tmp_path: Path) -> None:
    words = ("validate", corpus, "--replay", "--sample", 2, "--json")
    replayed = run("lawm-data", *words).json
    assert replayed["replay"] == {"trajectories": 2, "exact": 2, "skipped": {}}
    assert (
        "replayed 6 trajectories, 6 bit for bit"
        in run("lawm-data", "validate", corpus, "--replay").out
    )
    withheld = tmp_path / "public"
    words = ("mask", corpus, "--fraction", 0.34, "--name", "third", "--withhold", withheld)
    assert run("lawm-data", *words).code == 0
    result = run("lawm-data", "validate", withheld, "--replay", "--against", corpus, "--json")
    assert (result.code, result.json["valid"]) == (1, False)
    assert len(result.json["against"]["equal"]) == 6
    assert result.json["replay"]["skipped"] == {"no physics states were recorded": 6}


def test_a_damaged_corpus_is_not_replayed(run, corpus: Path) -> None:
    (shard,) = (corpus / "shards").iterdir()
    shard.write_bytes(shard.read_bytes()[:-1])
    result = run("lawm-data", "validate", corpus, "--replay", "--against", corpus, "--json")
    assert (result.code, result.json["replay"], result.json["against"]) == (1, None, None)


def test_bad_input_is_one_line(run, corpus: Path) -> None:
    for words, line in (
        (("--sample", 2), "add --replay"),
        (("--against", corpus / "masks"), "is not a corpus"),
        (("--against", ""), "an argument is empty"),
        (("--against=",), "an argument is empty"),
    ):
        result = run("lawm-data", "validate", corpus, *words)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert line in result.err


def test_no_corpus_is_no_finding(run, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        result = run("lawm-data", "validate", path)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert "no corpus here" in result.err


def test_repair_says_first_and_then_does(run, require_documented, corpus: Path) -> None:
    assert "nothing to repair" in run("lawm-data", "repair", corpus).out
    (shard,) = (corpus / "shards").iterdir()
    data = bytearray(shard.read_bytes())
    data[-9] ^= 1
    shard.write_bytes(data)
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    planned = run("lawm-data", "repair", corpus, "--dry-run", "--json")
    require_documented("lawm-data repair", planned.json)
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before
    assert "would keep 5 trajectories" in run("lawm-data", "repair", corpus, "--dry-run").out
    printed = run("lawm-data", "repair", corpus).out
    assert "keeps 5 trajectories; damaged files are in" in printed
    assert "lost: 1 trajectories" in printed
    assert run("lawm-data", "validate", corpus, "--json").json["findings"] == []
    assert planned.json["changes"][0]["where"] == str(shard)
    assert planned.json["trajectories"] == 5


def test_repair_refuses_what_is_no_corpus(run, tmp_path: Path) -> None:
    result = run("lawm-data", "repair", tmp_path)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "is not a corpus" in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def filmed(tmp_path: Path) -> Path:
    """Two trajectories of five and three steps, seen by a camera."""
    camera = ArraySpec(name="camera", shape=(16, 24, 3), dtype="uint8", role=Role.pixels)
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    rng = np.random.default_rng(0)
    with CorpusWriter.create(tmp_path / "c", observations=(camera,), action=action) as writer:
        for steps in (5, 3):
            images = rng.integers(0, 256, (steps + 1, 16, 24, 3), dtype=np.uint8)
            writer.add({"camera": images}, np.ones(steps), provenance=Provenance(source="s"))
    return tmp_path / "c"


def test_a_video_and_what_is_said_of_it(
    run, require_documented, filmed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.gif"
    result = run("lawm-data", "render", filmed, "--trajectory", 1, out, "--json").json
    require_documented("lawm-data render", result)
    assert result["trajectory"] == open_corpus(filmed).table.id[1]
    assert (result["frames"], result["size"], result["return"]) == (4, [24, 16], 3.0)
    assert result["seconds"] == pytest.approx(4 * 0.02)
    assert out.read_bytes().startswith(b"GIF89a")
    words = ("--trajectory", result["trajectory"], "--every", 2, tmp_path / "b.gif")
    assert "frames      2" in run("lawm-data", "render", filmed, *words).out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--trajectory 0 {new}.avi", "unknown video format"),
        ("--trajectory 0 {new}/a.mp4", "no such folder"),
        ("--trajectory 2 {new}.gif", "is not in this view; give an id, or a place from 0 to 1"),
        ("--trajectory 0 {corpus}/a.gif", "lies in the corpus"),
        ("--trajectory 0 {new}.mp4 --size 65x48", "cannot be the size of a video"),
        ("--trajectory 0 {new}.mp4 --size 2x2", "give even numbers from 16 on"),
        ("--trajectory 0 {new}.gif --size 12", "'12' is not a size"),
        ("--trajectory 0 {new}.gif --size 0x8", "give even numbers"),
        ("--trajectory 0 {new}.gif --every 0", "--every"),
        ("--trajectory 0 {new}.gif --every 6", "nothing but the first step; give 5 at most"),
        ("--trajectory 0 {new}.mp4 --every 1000000000000000000000", "give 5 at most"),
        ("--trajectory 0 /proc/x.mp4", "/proc/x.mp4: "),
        ("--trajectory 0 {folder}.mp4", "is a folder; give the name of a file in it"),
    ],
)
def test_what_cannot_be_rendered_is_one_line_and_writes_nothing(
    run, filmed: Path, tmp_path: Path, words: str, line: str
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    before = sorted(tmp_path.rglob("*"))
    given = words.format(new=tmp_path / "new", corpus=filmed, folder=tmp_path / "folder")
    result = run("lawm-data", "render", filmed, *given.split())
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result.err
    assert line in result.err
    assert sorted(tmp_path.rglob("*")) == before
