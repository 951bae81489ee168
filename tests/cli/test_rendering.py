"""``lawm-data render`` on recorded images, which need no display."""

from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import CorpusWriter, open_corpus


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
def test_bad_input_is_one_line_and_writes_nothing(
    run, filmed: Path, tmp_path: Path, words: str, line: str
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    before = sorted(tmp_path.rglob("*"))
    given = words.format(new=tmp_path / "new", corpus=filmed, folder=tmp_path / "folder")
    result = run("lawm-data", "render", filmed, *given.split())
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result.err
    assert line in result.err
    assert sorted(tmp_path.rglob("*")) == before
