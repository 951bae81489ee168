"""Frames, pictures and films that are not what the set says."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_sets import EPISODES, FRAMES, brought, edit_column, edit_features, edit_info, refused

from lawm_data import Corpus
from lawm_data.exchange import export_corpus, import_corpus
from lawm_data.exchange.formats.lerobot import frames
from lawm_data.exchange.formats.lerobot.frames import FilmReader
from lawm_data.system.video import ffmpeg, write_video


def test_huge_episodes_are_refused_before_they_are_read(foreign: Path) -> None:
    edit_features(
        foreign,
        observation__images__camera={"dtype": "image", "shape": [8000, 8000, 3], "names": None},
    )
    refused(foreign, "has an episode of 12 frames, .* MB; import it with smaller pictures")


def test_numbers_that_are_texts_are_refused(foreign: Path) -> None:
    rows = len(pq.read_table(foreign / FRAMES))
    edit_column(foreign / FRAMES, "observation.state", pa.array([["a", "b", "c"]] * rows))
    refused(foreign, "holds string, not numbers")


def test_lengths_that_disagree_are_refused(exported: Path) -> None:
    lengths = pq.read_table(exported / EPISODES)["length"].to_pylist()
    changed = [lengths[0] + 1, lengths[1] - 1, *lengths[2:]]
    edit_column(exported / EPISODES, "length", pa.array(changed))
    refused(exported, "has episode_index 1 where 0 belongs")


def test_a_set_without_episodes_is_refused(exported: Path) -> None:
    pq.write_table(pq.read_table(exported / EPISODES).slice(0, 0), exported / EPISODES)
    refused(exported, "lists no episode")


def png_bomb(width: int, height: int) -> bytes:
    """A few bytes that claim to be a large picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (png_bomb(60_000, 60_000), "is no sound picture|has 60000 x 60000 pixels"),
        (png_bomb(24, 16), "is no sound picture"),
        (b"", "is no sound picture"),
        (b"GIF89a", "is no sound picture"),
        (None, "pictures that are not in the file"),
    ],
)
def test_pictures_that_mean_harm_are_refused(foreign: Path, data: bytes | None, match: str) -> None:
    key = "observation.images.camera"
    table = pq.read_table(foreign / FRAMES)
    values = table[key].to_pylist()
    values[3] = {"bytes": data, "path": "/etc/passwd"}
    edit_column(foreign / FRAMES, key, pa.array(values, table.schema.field(key).type))
    refused(foreign, match)


def test_a_film_of_another_rate_is_read_by_its_time(tmp_path: Path) -> None:
    frames = [np.full((16, 16, 3), 5 * i, np.uint8) for i in range(40)]
    write_video(tmp_path / "film.mp4", frames, 20)
    reader = FilmReader()
    for start in (0.5, 1.0):
        times = start + np.arange(4) / 10
        seconds, shown = zip(*reader.read(tmp_path / "film.mp4", times), strict=True)
        np.testing.assert_allclose(seconds, times, atol=1e-6)
        pictures = [frame.mean() / 5 for frame in shown]
        np.testing.assert_allclose(pictures, 20 * start + 2 * np.arange(4), atol=1.5)
    assert not reader.ended
    seconds = [second for second, _ in reader.read(tmp_path / "film.mp4", np.array([1.9, 2.5]))]
    assert (seconds, reader.ended) == ([1.9, 1.95], True)


@pytest.fixture
def filmed(tmp_path: Path, corpus: Corpus) -> Path:
    """A set whose pictures say their place: 30 + 5 i in frame i of the film."""
    export_corpus(corpus, f"lerobot:{tmp_path / 'set'}", {"pixels": "mp4", "fps": 20})
    shutil.rmtree(tmp_path / "set/meta/lawm")
    [film] = (tmp_path / "set/videos").rglob("*.mp4")
    write_video(film, [np.full((16, 24, 3), 30 + 5 * i, np.uint8) for i in range(40)], 20)
    return tmp_path / "set"


def shown(place: Path, **settings: float) -> list[list[int]]:
    """Which frames of the film each trajectory has."""
    shutil.rmtree(place.parent / "back", ignore_errors=True)
    # the last one stands for what the last action led to, which nobody recorded
    pictures = [t.observations["camera"][:-1] for t in brought(place, **settings)]
    if pictures[0].shape[-1] == 1:
        # brightness is stored as 16 to 235
        pictures = [(p - 16.0) * 255 / 219 for p in pictures]
    return [np.rint((p.mean((1, 2, 3)) - 30) / 5).astype(int).tolist() for p in pictures]


def moved(place: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the timestamps of the first episode, seconds."""
    times = np.array(pq.read_table(place / FRAMES)["timestamp"].to_pylist())
    times[:7] = change(times[:7])
    edit_column(place / FRAMES, "timestamp", pa.array(times.astype(np.float32)))


def test_pictures_are_those_of_their_timestamps(filmed: Path) -> None:
    """An episode may begin late in its film, or lack frames that were dropped."""
    later = [[7, 8, 9], list(range(10, 22)), [22]]
    assert shown(filmed) == [list(range(7)), *later]
    moved(filmed, lambda t: t + 0.25)
    assert shown(filmed) == [list(range(5, 12)), *later]
    moved(filmed, lambda t: t + 0.05 * (np.arange(7) > 3))
    assert shown(filmed) == [[5, 6, 7, 8, 10, 11, 12], *later]


def test_times_between_pictures_are_refused_unless_allowed(filmed: Path) -> None:
    moved(filmed, lambda t: t + 0.00005)
    assert shown(filmed)[0] == list(range(7))
    moved(filmed, lambda t: t + 0.012)
    shutil.rmtree(filmed.parent / "back")
    refused(
        filmed,
        r"file-000.mp4: episode 0: frame 0, at 0.012.* s, is 0.012.* s from the nearest picture; "
        "allow it with --set tolerance=0.024",
    )
    assert shown(filmed, tolerance=0.024)[0] == list(range(7))


def test_times_that_go_back_are_refused(filmed: Path) -> None:
    moved(filmed, lambda t: t[::-1])
    refused(filmed, "is read backwards by .* an episode; correct the column timestamp")


def test_times_before_the_film_are_refused(filmed: Path) -> None:
    moved(filmed, lambda t: t - 0.1)
    refused(filmed, "frame 0, at -0.1 s, is 0.1 s from the nearest .*; correct the column")


def refilmed(place: Path, words: str, encoded: str = "-c:v libx264 -crf 10 -bf 0") -> None:
    """Change the film with these words for ffmpeg, which come before and after its name."""
    [film] = (place / "videos").rglob("*.mp4")
    before, after = words.split("|")
    other = film.with_suffix(".other.mp4")
    program = [ffmpeg().get_ffmpeg_exe(), "-v", "error", "-y", *before.split(), "-i", str(film)]
    subprocess.run([*program, *after.split(), *encoded.split(), str(other)], check=True)
    other.replace(film)


@pytest.fixture(params=["colour", "depth"])
def late(filmed: Path, request: pytest.FixtureRequest) -> Path:
    """The set, with a film whose first picture is shown at 0.3 s."""
    if request.param == "depth":
        edit_features(
            filmed,
            observation__images__camera={"dtype": "video", "shape": [16, 24, 1], "names": None},
        )
    refilmed(filmed, "-itsoffset 0.3 |", "-c copy")
    return filmed


@pytest.mark.parametrize(
    ("file", "column"),
    [(EPISODES, "videos/observation.images.camera/from_timestamp"), (FRAMES, "timestamp")],
)
def test_the_first_picture_may_be_shown_late(late: Path, file: str, column: str) -> None:
    """Times are those of the film, and not counted from its first picture."""
    refused(late, "episode 0: frame 0, at 0 s, is 0.3 s from the nearest picture")
    times = pq.read_table(late / file)[column]
    edit_column(late / file, column, pa.array(np.array(times.to_pylist()) + 0.3, times.type))
    assert shown(late) == [list(range(7)), [7, 8, 9], list(range(10, 22)), [22]]


def test_a_film_that_lost_pictures_is_refused(filmed: Path) -> None:
    """No other picture takes the place of one that is not there."""
    refilmed(filmed, "| -vf select='not(between(n,2,3))' -fps_mode passthrough")
    refused(filmed, "episode 0: frame 2, at 0.1 s, is 0.05 s from the nearest .*; correct the col")


def test_a_film_of_a_rate_that_does_not_fit_is_refused_unless_allowed(filmed: Path) -> None:
    refilmed(filmed, "-r 24 |")  # the same pictures, shown faster
    refused(filmed, "frame 1, at 0.05 s, is 0.00833 s from .*; allow it with --set tolerance=0.0")
    assert shown(filmed, tolerance=0.05)[0] == [0, 1, 2, 4, 5, 6, 7]


def other_suffix(place: Path, suffix: str) -> None:
    """Bring the film into another container."""
    [film] = (place / "videos").rglob("*.mp4")
    words = [ffmpeg().get_ffmpeg_exe(), "-v", "error", "-i", str(film), "-c", "copy"]
    subprocess.run([*words, str(film.with_suffix(suffix))], check=True)
    film.unlink()
    path = json.loads((place / "meta/info.json").read_text())["video_path"]
    edit_info(place, video_path=path.replace(".mp4", suffix))


def test_films_of_whole_milliseconds_fit_any_rate(filmed: Path) -> None:
    refilmed(filmed, "-r 30 |")
    edit_info(filmed, fps=30)
    times = pq.read_table(filmed / FRAMES)["timestamp"].to_numpy()
    edit_column(filmed / FRAMES, "timestamp", pa.array((times / 1.5).astype(np.float32)))
    column = "videos/observation.images.camera/from_timestamp"
    starts = pq.read_table(filmed / EPISODES)[column].to_numpy()
    edit_column(filmed / EPISODES, column, pa.array(starts / 1.5))
    expected = shown(filmed)
    other_suffix(filmed, ".mkv")
    assert shown(filmed) == expected == [list(range(7)), [7, 8, 9], list(range(10, 22)), [22]]


def test_films_of_other_kinds_are_refused(filmed: Path) -> None:
    other_suffix(filmed, ".ts")
    refused(filmed, r"file-000.ts: is no .mp4, .*\.gif file; convert it")


def test_a_film_that_ends_early_is_refused(filmed: Path) -> None:
    refilmed(filmed, "| -frames:v 12")
    refused(filmed, "episode 2: ends at 0.55 s, and frame 2 is at 0.6 s; fetch the file again")


def test_every_film_is_decoded_once(filmed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    real = frames.timed_frames
    monkeypatch.setattr(
        frames, "timed_frames", lambda *given: (decoded.append(given), real(*given))[1]
    )
    brought(filmed)
    assert len(decoded) == 1


def numbers(place: Path, name: str, kind: pa.DataType, values: list[float]) -> None:
    """Store numbers as another type than info.json says, the given ones in the first frame."""
    rows = [list(values), *np.array(pq.read_table(place / FRAMES)[name].to_pylist())[1:].tolist()]
    whole = pa.types.is_integer(kind)
    rows = [[abs(int(x)) if whole else x for x in row] for row in rows]
    edit_column(place / FRAMES, name, pa.array(rows, pa.list_(kind)))


@pytest.mark.parametrize("name", ["observation.state", "action"])
def test_fractions_are_rounded_to_the_type_of_the_set_and_that_is_said(
    foreign: Path, name: str
) -> None:
    width = len(pq.read_table(foreign / FRAMES)[name][0])
    numbers(foreign, name, pa.float64(), [0.1] * width)
    note = f"{name}: float64 in the files, rounded to float32"
    notes = import_corpus(f"lerobot:{foreign}", foreign.parent / "rounded").notes
    assert [n for n in notes if n.startswith(f"{name}:")] == [note]
    numbers(foreign, name, pa.float64(), [0.5] * width)
    assert note not in import_corpus(f"lerobot:{foreign}", foreign.parent / "whole").notes


def test_rewards_are_rounded_likewise(foreign: Path) -> None:
    rewards = pq.read_table(foreign / FRAMES)["next.reward"].to_numpy().astype(np.float64)
    edit_column(foreign / FRAMES, "next.reward", pa.array(rewards + 0.1))
    notes = import_corpus(f"lerobot:{foreign}", foreign.parent / "rounded").notes
    assert "next.reward: float64 in the files, rounded to float32" in notes


@pytest.mark.parametrize("name", ["observation.state", "action"])
@pytest.mark.parametrize(
    ("kind", "number"), [(pa.int64(), 2**24 + 1), (pa.float64(), 1e300), (pa.uint64(), 2**63 + 1)]
)
def test_numbers_that_the_type_of_the_set_cannot_hold_are_refused(
    foreign: Path, name: str, kind: pa.DataType, number: float
) -> None:
    width = len(pq.read_table(foreign / FRAMES)[name][0])
    numbers(foreign, name, kind, [number] * width)
    refused(foreign, rf"episode 0: {name}: holds .*, and info.json says float32, which cannot")


@pytest.mark.parametrize(("kind", "number"), [(pa.float64(), 0.5), (pa.int64(), 300)])
def test_whole_numbers_are_never_cut_off(foreign: Path, kind: pa.DataType, number: float) -> None:
    """Actions were, in silence."""
    edit_features(foreign, action={"dtype": "uint8", "shape": [2], "names": None})
    rows = len(pq.read_table(foreign / FRAMES))
    edit_column(foreign / FRAMES, "action", pa.array([[number, 0]] * rows, pa.list_(kind)))
    refused(foreign, "action: holds .*, and info.json says uint8, which cannot")
    edit_column(foreign / FRAMES, "action", pa.array([[7, 0]] * rows, pa.list_(kind)))
    actions = brought(foreign)[0].actions
    assert actions is not None
    assert (actions.dtype, actions.tolist()[0]) == (np.uint8, [7, 0])


def test_times_matter_to_films_alone(exported: Path) -> None:
    shutil.rmtree(exported / "meta/lawm")
    moved(exported, lambda t: t * 1.37)
    assert len(brought(exported)) == 4
