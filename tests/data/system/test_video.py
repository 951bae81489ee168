import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ConfigError, CorpusError, StorageError

from lawm_data.system.video import frames, timed_frames, write_video


def film(count: int = 12, shape: tuple[int, int] = (32, 48)) -> Iterator[np.ndarray]:
    for i in range(count):
        yield np.full((*shape, 3), 20 * i, np.uint8)


def test_gif_keeps_frames_size_and_pace(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    write_video(tmp_path / "a.gif", film(), fps=20)
    with image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (12, (48, 32), 50)
        gif.seek(5)
        assert gif.convert("RGB").getpixel((3, 3)) == (100, 100, 100)


@pytest.mark.parametrize("shape", [(32, 48), (33, 49)])
def test_mp4_keeps_frames_and_pace(tmp_path: Path, shape: tuple[int, int]) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "a.mp4"
    write_video(path, film(shape=shape), fps=6)
    assert ffmpeg.count_frames_and_secs(str(path)) == (12, 2.0)
    decode = [ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = subprocess.run(decode, capture_output=True, check=True).stdout
    pictures = np.frombuffer(decoded, np.uint8).reshape(12, 32, 48, 3)
    brightness = pictures.mean((1, 2, 3)).tolist()
    assert brightness == pytest.approx([20 * i for i in range(12)], abs=4)


def broken() -> Iterator[np.ndarray]:
    yield from film(3)
    raise KeyboardInterrupt


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_a_video_that_fails_leaves_the_old_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_video(path, broken(), fps=10)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("name", "frames", "fps", "message"),
    [
        ("a.avi", [], 10, "a.avi: unknown video format '.avi'; use .mp4 or .gif"),
        ("a", [], 10, "unknown video format ''"),
        ("a.gif", [], 10, "no frames"),
        ("a.gif", film(), 0, "0 frames per second"),
        ("a.gif", [np.zeros((4, 4, 3))], 10, r"frame 0 is float64\[4, 4, 3\]"),
        ("a.gif", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], 10, "frame 1"),
    ],
)
def test_bad_input_is_refused(tmp_path: Path, name: str, frames, fps: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        write_video(tmp_path / name, frames, fps)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_a_missing_folder_is_one_line(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(StorageError) as caught:
        write_video(tmp_path / "no" / f"a.{suffix}", film(), fps=10)
    assert str(caught.value) == f"{tmp_path / 'no'}: there is no such folder; make it first"


@pytest.mark.parametrize(("suffix", "module"), [("mp4", "imageio_ffmpeg"), ("gif", "PIL.Image")])
def test_missing_packages_name_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r'pip install "lawm\[video\]"'):
        write_video(tmp_path / f"a.{suffix}", film(), fps=10)
    assert list(tmp_path.iterdir()) == []


def test_what_stops_ffmpeg_is_one_error_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("imageio_ffmpeg")
    with pytest.raises(StorageError, match=r"a\.mp4: ffmpeg stopped: Unable"):
        write_video(tmp_path / "a.mp4", film(shape=(1, 64)), fps=10)
    (tmp_path / "b.mp4").mkdir()
    for place in (tmp_path / "b.mp4", Path("/proc/x.mp4")):
        with pytest.raises(StorageError):
            write_video(place, film(), fps=10)
    assert capfd.readouterr() == ("", "")
    assert [p.name for p in tmp_path.iterdir()] == ["b.mp4"]


def test_pictures_may_stand_for_a_minute(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    write_video(tmp_path / "a.mp4", film(3), fps=1 / 60)
    assert ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))[0] == 3


def test_nothing_is_written_into_a_corpus(tmp_path: Path, random_corpus) -> None:
    with pytest.raises(StorageError, match="lies in the corpus"):
        write_video(random_corpus().path / "a.gif", film(), fps=10)


def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".tmp-99-0123abcd-a.gif").write_bytes(b"half")
    write_video(tmp_path / "a.gif", film(), fps=10)
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]


@pytest.mark.parametrize("grey", [False, True])
def test_frames_come_with_the_times_of_the_file(tmp_path: Path, grey: bool) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    write_video(tmp_path / "a.mp4", film(), fps=30)
    words = f"-v error -itsoffset 0.3 -i {tmp_path / 'a.mp4'} -c copy {tmp_path / 'late.mp4'}"
    subprocess.run([ffmpeg.get_ffmpeg_exe(), *words.split()], check=True)
    for name, start in (("a.mp4", 0), ("late.mp4", 0.3)):
        times, pictures = zip(*timed_frames(tmp_path / name, grey), strict=True)
        assert times == pytest.approx(start + np.arange(12) / 30, abs=1e-6)
        brightness = [picture.mean() for picture in pictures]
        expected = 20.0 * np.arange(12)
        assert brightness == pytest.approx(16 + expected * 219 / 255 if grey else expected, abs=4)
        assert {picture.shape for picture in pictures} == {(32, 48, 1 if grey else 3)}


def test_a_film_may_be_left_in_the_middle(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    write_video(tmp_path / "a.mp4", film(), fps=30)
    running, pictures = threading.active_count(), timed_frames(tmp_path / "a.mp4")
    assert next(pictures)[0] == 0
    pictures.close()
    assert threading.active_count() == running


def test_a_damaged_film_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    write_video(tmp_path / "a.mp4", film(), fps=30)
    (tmp_path / "a.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:200])
    for read in (frames, timed_frames):
        with pytest.raises(CorpusError, match=r"a\.mp4: is no sound video \(moov atom not found\)"):
            list(read(tmp_path / "a.mp4"))
