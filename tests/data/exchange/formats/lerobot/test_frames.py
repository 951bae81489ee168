"""Frames, pictures and films that are not what the set says."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lawm_schemas import CorpusError
from lerobot_sets import EPISODES, FRAMES, brought, edit_column, edit_features, refused

from lawm_data import Corpus
from lawm_data.exchange import export_corpus
from lawm_data.exchange.formats.lerobot.frames import FilmReader
from lawm_data.system.video import write_video


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
    reader = FilmReader(10)
    for start in (0.5, 1.0):
        shown = [
            frame.mean() / 5 for frame in reader.read(tmp_path / "film.mp4", start, np.arange(4))
        ]
        np.testing.assert_allclose(shown, 20 * start + 2 * np.arange(4), atol=1.5)
    with pytest.raises(CorpusError, match="ends after 20 frames, and 24 are needed"):
        list(reader.read(tmp_path / "film.mp4", 2.0, np.arange(4)))


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
    refused(filmed, "timestamp: 0.012.* s is 0.012.* s from a frame.*; .*--set tolerance=0.024")
    assert shown(filmed, tolerance=0.024)[0] == list(range(7))


def test_times_that_go_back_are_refused(filmed: Path) -> None:
    moved(filmed, lambda t: t[::-1])
    refused(filmed, "read backwards, .*; correct the column timestamp")


def test_times_before_the_film_are_refused(filmed: Path) -> None:
    moved(filmed, lambda t: t - 0.1)
    refused(filmed, "before its start, .*; correct the column timestamp")


def test_times_matter_to_films_alone(exported: Path) -> None:
    shutil.rmtree(exported / "meta/lawm")
    moved(exported, lambda t: t * 1.37)
    assert len(brought(exported)) == 4
