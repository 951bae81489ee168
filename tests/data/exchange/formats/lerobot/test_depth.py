"""Depth cameras: films of 12 and 16 bits, and pictures of metres."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lawm_schemas import CorpusError
from lerobot_sets import EPISODES, FRAMES, brought, edit_column, edit_features, refused
from PIL import Image

from lawm_data.exchange.formats.lerobot.depth import CODES, is_depth, millimetres
from lawm_data.system.video import ffmpeg, timed_frames

SHAPE = (64, 80)
KEY = "observation.images.depth"


def film(path: Path, frames: np.ndarray, pixels: str, *words: str) -> None:
    """Write frames (n, h, w) of whole numbers, without loss where ``words`` say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames.shape[1:]
    command = [ffmpeg().get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", pixels]
    command += ["-s", f"{width}x{height}", "-r", "30", "-i", "-", *words, str(path)]
    subprocess.run(command, input=frames.tobytes(), check=True)


X265 = ("-c:v", "libx265", "-x265-params", "log-level=error:lossless=1")


def with_depths(place: Path, codes: np.ndarray, pixels: str, **about: Any) -> None:
    """Add a depth camera to a set: one film for all episodes."""
    words = X265 if pixels == "gray12le" else ("-c:v", "ffv1")
    path = place / f"videos/{KEY}/chunk-000/file-000.{'mp4' if words is X265 else 'mkv'}"
    film(path, codes, pixels, *words)
    table = pq.read_table(place / EPISODES)
    starts = np.array(table["dataset_from_index"].to_pylist()) / 30
    for name, values in {
        "chunk_index": np.zeros(len(table), int),
        "file_index": np.zeros(len(table), int),
        "from_timestamp": starts,
    }.items():
        table = table.append_column(f"videos/{KEY}/{name}", pa.array(values))
    pq.write_table(table, place / EPISODES)
    info = json.loads((place / "meta/info.json").read_text())
    pattern = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}" + path.suffix
    about = {"is_depth_map": True, "video.pix_fmt": pixels, **about}
    feature = {"dtype": "video", "shape": [*SHAPE, 1], "names": ["h", "w", "c"], "info": about}
    info |= {"video_path": pattern, "fps": 30}
    info["features"][KEY] = feature
    (place / "meta/info.json").write_text(json.dumps(info))
    rows = len(pq.read_table(place / FRAMES))
    frame = np.array(pq.read_table(place / FRAMES)["frame_index"].to_pylist())
    assert len(codes) >= rows
    edit_column(place / FRAMES, "timestamp", pa.array((frame / 30).astype(np.float32)))


def codes_of(most: int, rows: int = 23) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, most, (rows, *SHAPE), "u2", endpoint=True).astype("<u2")


@pytest.mark.parametrize("logarithmic", [True, False])
def test_codes_stand_for_distances(logarithmic: bool) -> None:
    """``code = round(4095 (f(d) - f(min)) / (f(max) - f(min)))``, as LeRobot writes it."""
    about = {"video.depth_min": 0.1, "video.depth_max": 5.0, "video.shift": 1.0}
    table = millimetres({**about, "video.use_log": logarithmic}, "here") / 1000
    assert (table[0], table[-1]) == (0.1, 5.0)
    assert (np.diff(table) >= 0).all()
    scale = (lambda d: np.log(d + 1.0)) if logarithmic else (lambda d: d)
    for distance in np.linspace(0.1, 5, 50):
        code = round((CODES - 1) * (scale(distance) - scale(0.1)) / (scale(5.0) - scale(0.1)))
        assert abs(table[code] - distance) < 0.0015


@pytest.mark.parametrize(
    "about",
    [{"video.depth_min": 5, "video.depth_max": 1}, {"video.shift": "x"}, {"video.shift": -9}],
)
def test_ranges_that_make_no_sense_are_refused(about: dict[str, Any]) -> None:
    with pytest.raises(CorpusError, match=r"correct video\.depth_min"):
        millimetres(about, "here")


def test_every_spelling_of_a_depth_map() -> None:
    assert is_depth({"is_depth_map": True})
    assert is_depth({"video.is_depth_map": True})
    assert not is_depth({"video.is_depth_map": False})


def test_a_film_of_12_bits_becomes_millimetres(foreign: Path) -> None:
    codes = codes_of(4095)
    with_depths(foreign, codes, "gray12le")
    back = brought(foreign)
    spec = next(spec for spec in back.manifest.observations if spec.name == "depth")
    assert (spec.dtype, spec.shape) == ("uint16", (*SHAPE, 1))
    expected = millimetres({}, "here")[codes]
    first, second = back[0].observations["depth"], back[1].observations["depth"]
    assert np.array_equal(first[:-1, ..., 0], expected[:7])
    assert np.array_equal(second[:-1, ..., 0], expected[7:10])
    assert "whole millimetres" in " ".join(back.manifest.lineage[-1].settings["converted"])


def test_a_film_of_16_bits_is_kept_as_it_is(foreign: Path) -> None:
    depths = codes_of(65535)
    with_depths(foreign, depths, "gray16le")
    assert np.array_equal(brought(foreign)[0].observations["depth"][:-1, ..., 0], depths[:7])


@pytest.mark.parametrize("pixels", ["gray", "gray10le", "gray12le", "gray16le"])
def test_brightness_is_what_the_film_holds(tmp_path: Path, pixels: str) -> None:
    most = {"gray": 255, "gray10le": 1023, "gray12le": 4095, "gray16le": 65535}[pixels]
    frames = codes_of(most, 4).astype("u1" if pixels == "gray" else "<u2")
    film(tmp_path / "film.mkv", frames, pixels, "-c:v", "ffv1")
    found = np.stack([frame for _, frame in timed_frames(tmp_path / "film.mkv", grey=True)])
    assert found.dtype == frames.dtype
    assert np.array_equal(found[..., 0], frames)


def test_pictures_of_metres_become_millimetres(foreign: Path) -> None:
    depths = codes_of(9000)
    pictures = []
    for depth in depths:
        file = io.BytesIO()
        Image.fromarray((depth / 1000).astype(np.float32)).save(file, "TIFF")
        pictures.append({"bytes": file.getvalue(), "path": None})
    table = pq.read_table(foreign / FRAMES)
    pq.write_table(table.append_column(KEY, pa.array(pictures)), foreign / FRAMES)
    feature = {"dtype": "image", "shape": [*SHAPE, 1], "names": None}
    about = {"is_depth_map": True, "depth_unit": "m"}
    edit_features(foreign, **{KEY.replace(".", "__"): {**feature, "info": about}})
    assert np.array_equal(brought(foreign)[0].observations["depth"][:-1, ..., 0], depths[:7])


def test_depths_of_two_types_are_refused(foreign: Path) -> None:
    pictures = []
    for depth in codes_of(9000):
        file = io.BytesIO()
        Image.fromarray(depth if len(pictures) < 3 else depth.astype(np.uint8)).save(file, "PNG")
        pictures.append({"bytes": file.getvalue(), "path": None})
    table = pq.read_table(foreign / FRAMES)
    pq.write_table(table.append_column(KEY, pa.array(pictures)), foreign / FRAMES)
    feature = {"dtype": "image", "shape": [*SHAPE, 1], "names": None}
    edit_features(foreign, **{KEY.replace(".", "__"): feature})
    refused(foreign, "a picture of type uint8, and the first one is uint16; .* --without")
