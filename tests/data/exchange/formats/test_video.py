"""Videos and folders of pictures as trajectories without actions."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, LawmError, Role
from PIL import Image

from lawm_data import Corpus, Loader, merge_corpora, open_corpus
from lawm_data.corpus.rate import step_seconds
from lawm_data.exchange import import_corpus
from lawm_data.system.video import write_video


def ramp(count: int, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Frames that say by their grey which one they are."""
    return [np.full((height, width, 3), 10 + 5 * i, np.uint8) for i in range(count)]


def number(frames: np.ndarray) -> np.ndarray:
    """Which frame of ``ramp`` each one is."""
    return np.round((frames.mean((1, 2, 3)) - 10) / 5).astype(int)


def save_pictures(folder: Path, frames: list[np.ndarray], suffix: str = ".png") -> None:
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"frame {i}{suffix}")


def brought(folder: Path, **settings: Any) -> Corpus:
    out = folder.parent / "corpus"
    import_corpus(f"video:{folder}", out, settings)
    return open_corpus(out, verify=True)


def refused(folder: Path, match: str, **settings: Any) -> None:
    with pytest.raises(LawmError, match=match) as refusal:
        brought(folder, **settings)
    assert "\n" not in str(refusal.value)
    assert not (folder.parent / "corpus").exists()


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder with two takes of 30 frames, at 30 frames a second."""
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("take 2.mp4", "take 10.mp4"):
        write_video(folder / name, ramp(30), 30)
    return folder


def test_every_kind_of_video_is_a_trajectory(films: Path) -> None:
    write_video(films / "take 3.gif", ramp(30), 10)
    save_pictures(films / "more/take 1", ramp(12))
    save_pictures(films / "more/take 2", ramp(3), ".bmp")
    (films / ".hidden.mp4").write_bytes(b"nothing")
    (films / "more/take 1/.thumb.png").write_bytes(b"nothing")
    (films / "notes.txt").write_text("nothing")
    corpus = brought(films)
    names = [trajectory.info.metadata["file"] for trajectory in corpus]
    assert names == ["more/take 1", "more/take 2", "take 2.mp4", "take 3.gif", "take 10.mp4"]
    assert corpus.label_counts()["missing"] == 5
    for trajectory in corpus:
        assert trajectory.actions is None
        assert trajectory.observations["pixels"].shape[1:] == (64, 64, 3)
        assert not trajectory.rewards.any()
        assert trajectory.info.metadata["rewards"] == "none"
        assert trajectory.info.source == "video:films"
    notes = " ".join(corpus.manifest.lineage[-1].settings["converted"])
    for part in ("has no actions", "has no rewards", "15 a second", "64 x 64", "1 other files"):
        assert part in notes


@pytest.mark.parametrize(("fps", "frames"), [(30, 30), (15, 15), (10, 10), (60, 60)])
def test_time_is_resampled(films: Path, fps: float, frames: int) -> None:
    (trajectory, _) = brought(films, fps=fps)
    shown = number(trajectory.observations["pixels"])
    assert abs(len(shown) - frames) <= 1
    expected = np.arange(len(shown)) * 30 / fps
    assert np.abs(shown - expected).max() <= 30 / fps / 2 + 1


def test_a_gif_keeps_its_time(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    write_video(tmp_path / "films/a.gif", ramp(20), 10)
    shown = number(brought(tmp_path / "films", fps=20)[0].observations["pixels"])
    assert abs(len(shown) - 40) <= 2
    assert (np.diff(shown) >= 0).all()
    assert set(shown) >= set(range(19))


def test_pictures_are_averaged_when_they_shrink(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (64, 32, 3)).astype(np.uint8) for _ in range(3)]
    save_pictures(tmp_path / "films", frames)
    (trajectory,) = brought(tmp_path / "films", size=16)
    boxes = np.stack(frames).reshape(3, 16, 4, 16, 2, 3).mean((2, 4))
    assert np.abs(trajectory.observations["pixels"] - boxes).max() <= 1
    assert trajectory.info.metadata["file"] == "films"


def test_pictures_are_as_far_apart_as_somebody_says(films: Path, tmp_path: Path) -> None:
    save_pictures(tmp_path / "pictures/take", ramp(12))
    unknown = brought(tmp_path / "pictures")
    assert step_seconds(unknown.manifest) is None
    import_corpus(f"video:{tmp_path / 'pictures'}", tmp_path / "known", {"fps": 5})
    assert step_seconds(open_corpus(tmp_path / "known").manifest) == 0.2
    import_corpus(f"video:{films}", tmp_path / "films-15")
    assert step_seconds(open_corpus(tmp_path / "films-15").manifest) == 1 / 15


@pytest.mark.parametrize("name", ["take 2.mp4", "new.mp4", "new.mkv", "new.avi", "new.gif"])
@pytest.mark.parametrize("data", [b"", b"not a video " * 99, b"#EXTM3U\nfile:///etc/passwd\n"])
def test_a_damaged_video_is_named_and_nothing_is_written(
    films: Path, name: str, data: bytes
) -> None:
    (films / name).write_bytes(data)
    refused(films, f"{name}: is no sound video")


def test_one_video_never_costs_the_others(films: Path) -> None:
    (films / "take 2.mp4").write_bytes(b"\0" * 1000)
    refused(films, "there is no video 'take 3.mp4'; there are take 2.mp4, ", without="take 3.mp4")
    refused(films, "leaves nothing", without="take 2.mp4,take 10.mp4")
    corpus = brought(films, without="take 2.mp4")
    assert [t.info.metadata["file"] for t in corpus] == ["take 10.mp4"]
    assert "left out: take 2.mp4" in corpus.manifest.lineage[-1].settings["converted"]


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_video_that_was_cut_is_refused(films: Path, share: float) -> None:
    whole = (films / "take 10.mp4").read_bytes()
    (films / "take 10.mp4").write_bytes(whole[: int(share * len(whole))])
    refused(films, "take 10.mp4: is no sound video")


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    save_pictures(tmp_path / "films/a", ramp(3))
    (tmp_path / "films/a/frame 1.png").write_bytes(b"no picture")
    refused(tmp_path / "films", "frame 1.png: is no sound picture")


def still(folder: Path, name: str) -> None:
    """A film of one frame, or a folder of one picture where the name has no suffix."""
    if Path(name).suffix:
        write_video(folder / name, ramp(1), 30)
    else:
        save_pictures(folder / name, ramp(1))


LEAVE = {
    "still.mp4": "leave it out with --without still.mp4",
    "a still.gif": "leave it out with --without 'a still.gif'",
    "one, two.mp4": "move it out of the folder",
    "take": "add more of them, or leave it out with --without take",
    "take, one": "add more of them, or move it out of the folder",
}


@pytest.mark.parametrize("name", LEAVE)
@pytest.mark.parametrize("fps", [5, 15, 30])
def test_a_single_frame_is_called_one_and_can_be_left_out(films: Path, name: str, fps: int) -> None:
    still(films, name)
    fps = 5 if name.endswith(".gif") else fps  # it lasts 0.1 s, which is two frames of 15
    found = "1 frame" if Path(name).suffix else "1 picture"
    words = f"{name}: has {found}, and a step needs two; {LEAVE[name]}"
    refused(films, re.escape(words) + "$", fps=fps)
    if "," not in name:
        assert len(brought(films, fps=fps, without=name)) == 2


@pytest.mark.parametrize(
    ("name", "hint"),
    [("still.mp4", "give one of two frames or more"), ("take", "add more of them")],
)
def test_nothing_can_be_left_out_of_one_video(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / "films").mkdir()
    still(tmp_path / "films", name)
    refused(tmp_path / "films", f"and a step needs two; {hint}$")


@pytest.mark.parametrize("others", [True, False])
def test_a_short_film_can_be_read_with_a_higher_rate(films: Path, others: bool) -> None:
    if not others:
        for path in films.iterdir():
            path.unlink()
    write_video(films / "short.mp4", ramp(3), 30)
    hint = "read it with a higher fps" + ", or leave it out with --without short.mp4" * others
    refused(films, rf"short.mp4: has [01] frames? at 5 a second, .* two; {hint}$", fps=5)
    lengths = {t.info.metadata["file"]: len(t) for t in brought(films, fps=30)}
    assert lengths["short.mp4"] == 2


def test_what_is_no_trajectory_is_refused(films: Path) -> None:
    for path in films.iterdir():
        path.unlink()
    refused(films, "holds no videos; files that are read: .mp4")
    refused(films / "nowhere", "is no folder")


def test_links_to_the_outside_are_refused(films: Path) -> None:
    (films / "take 10.mp4").rename(films.parent / "outside.mp4")
    (films / "take 10.mp4").symlink_to(films.parent / "outside.mp4")
    refused(films, "is a link that leads outside")


@pytest.mark.parametrize(
    "settings",
    [
        {"fps": 0},
        {"fps": "fast"},
        {"size": 0},
        {"size": 2.5},
        {"actions": 0},
        {"camera": "a b"},
        {"camera": 3},
    ],
)
def test_settings_are_checked(films: Path, settings: dict[str, Any]) -> None:
    refused(films, next(iter(settings)), **settings)


def test_videos_mix_with_labeled_pixels(
    films: Path, tmp_path: Path, random_corpus: Callable[..., Corpus]
) -> None:
    camera = ArraySpec(name="camera", shape=(32, 32, 3), dtype="uint8", role=Role.pixels)
    labeled = random_corpus("labeled", (20, 30), observations=(camera,))
    films_only = brought(films, like=str(labeled.path))
    loader = Loader([(labeled, 1.0), (films_only, 1.0)], 4, 5, labeled_ratio=0.5)
    assert loader.next().labeled.tolist() == [True, True, False, False]
    merge_corpora([labeled, films_only], tmp_path / "merged")
    both = open_corpus(tmp_path / "merged")
    assert both.label_counts() == {"observed": 2, "withheld": 0, "missing": 2, "inferred": 0}
    with pytest.raises(ConfigError, match="is given along with size"):
        import_corpus(f"video:{films}", tmp_path / "other", {"like": str(labeled.path), "size": 32})
    state = random_corpus("state", (20,))
    with pytest.raises(ConfigError, match="has 0 colour cameras; give one that has them"):
        import_corpus(f"video:{films}", tmp_path / "other", {"like": str(state.path)})


def test_a_camera_of_several_is_chosen_by_name(
    tmp_path: Path, random_corpus: Callable[..., Corpus]
) -> None:
    cameras = tuple(
        ArraySpec(name=name, shape=shape, dtype="uint8", role=Role.pixels)
        for name, shape in (("front", (8, 12, 3)), ("hand", (4, 4, 3)), ("depth", (4, 4, 1)))
    )
    robot = random_corpus("robot", (3,), observations=cameras)
    films = tmp_path / "films"
    save_pictures(films, ramp(3))
    like = {"like": str(robot.path)}
    for name, count in ((None, 2), ("depth", 0), ("back", 0)):
        wanted = like if name is None else {**like, "camera": name}
        refused(films, rf"has {count} colour cameras.*choose.*front \[8, 12, 3\], hand", **wanted)
    corpus = brought(films, **like, camera="front")
    assert corpus.manifest.observations == cameras[:1]
    assert corpus.manifest.action == robot.manifest.action
    import_corpus(f"video:{films}", tmp_path / "own", {"camera": "side"})
    assert open_corpus(tmp_path / "own").manifest.observations[0].name == "side"


def test_depths_in_a_folder_are_kept(tmp_path: Path) -> None:
    depth = (np.arange(32 * 48).reshape(32, 48) * 40).astype(np.uint16)
    save_pictures(tmp_path / "films/deep", [depth, depth[::-1], depth])
    pictures = brought(tmp_path / "films", size=16)[0].observations["pixels"]
    assert (pictures.dtype, pictures.shape) == (np.uint16, (3, 16, 16, 1))
    assert set(pictures[0].ravel().tolist()) <= set(depth.ravel().tolist())
    assert pictures.max() > 255


@pytest.mark.parametrize("first", [np.uint8, np.uint16])
def test_depths_and_colours_are_not_mixed(tmp_path: Path, first: type) -> None:
    kinds = [first, np.uint16, np.uint8]
    save_pictures(tmp_path / "films/take", [np.zeros((32, 32), kind) for kind in kinds])
    refused(tmp_path / "films", "has a picture of (8|16) bits.*; import depth and colour apart")


def test_every_suffix_of_a_picture_is_read_and_others_are_named(tmp_path: Path) -> None:
    for i, suffix in enumerate((".png", ".tiff", ".jpg", ".tif", ".bmp", ".webp")):
        (tmp_path / "films").mkdir(exist_ok=True)
        Image.fromarray(ramp(6)[i]).save(tmp_path / f"films/{i}{suffix}")
    (tmp_path / "films/notes.txt").write_text("a table")
    corpus = brought(tmp_path / "films")
    assert number(corpus[0].observations["pixels"]).tolist() == list(range(6))
    notes = corpus.manifest.lineage[-1].settings["converted"]
    assert "1 other files were left out (.txt)" in notes


def test_clips_hold_every_step_of_a_video(films: Path) -> None:
    """One after the other they are the video; each begins with the last frame of the one before."""
    whole = brought(films)
    import_corpus(f"video:{films}", films.parent / "clips", {"clip": 0.4})
    clips = list(open_corpus(films.parent / "clips", verify=True))
    for name in ("take 2.mp4", "take 10.mp4"):
        (video,) = (t for t in whole if t.info.metadata["file"] == name)
        own = [t for t in clips if t.info.metadata["file"] == name]
        assert [t.info.metadata["clip"] for t in own] == [0, 1, 2]
        assert [len(t) for t in own] == [6, 6, len(video) - 12]
        parts = [t.observations["pixels"] for t in own]
        joined = np.concatenate([parts[0], *(part[1:] for part in parts[1:])])
        np.testing.assert_array_equal(joined, video.observations["pixels"])
        for one, other in pairwise(parts):
            np.testing.assert_array_equal(one[-1], other[0])


def test_crops_are_squares_of_the_video(tmp_path: Path) -> None:
    """Not scaled where they are of the corpus's size; the same ones whenever it is imported."""
    draws = np.random.default_rng(0)
    frames = [draws.integers(0, 256, (32, 48, 3)).astype(np.uint8) for _ in range(5)]
    save_pictures(tmp_path / "films/take", frames)
    corpus = brought(tmp_path / "films", crops=3, size=16)
    places = set()
    for number, trajectory in enumerate(corpus):
        about = trajectory.info.metadata
        assert (about["file"], about["crop"]) == ("take", number)
        y, x = about["top"], about["left"]
        places.add((y, x))
        expected = np.stack(frames)[:, y : y + 16, x : x + 16]
        np.testing.assert_array_equal(trajectory.observations["pixels"], expected)
    assert len(places) == 3
    import_corpus(f"video:{tmp_path / 'films'}", tmp_path / "again", {"crops": 3, "size": 16})
    assert open_corpus(tmp_path / "again").fingerprint == corpus.fingerprint
    settings = {"crops": 2, "size": 16, "crop_size": 32, "fps": 10, "clip": 0.2}
    import_corpus(f"video:{tmp_path / 'films'}", tmp_path / "larger", settings)
    (first, *_, last) = open_corpus(tmp_path / "larger")
    boxes = np.stack(frames)[:, :, first.info.metadata["left"] :][:, :, :32]
    boxes = boxes.reshape(5, 16, 2, 16, 2, 3).mean((2, 4))[:3]
    assert np.abs(first.observations["pixels"] - boxes).max() <= 1
    assert (last.info.metadata["clip"], last.info.metadata["crop"]) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"crop_size": 16}, "crop_size: is the edge of crops; give crops, how many, too"),
        ({"crops": -1}, "crops: is -1"),
        ({"crops": 2}, "has pictures of 32 x 48, smaller than a crop of 64"),
        ({"clip": 0}, "clip: is 0"),
        ({"clip": 0.01}, "clip: is shorter than a step; give 0.0667 seconds or more"),
    ],
)
def test_cuts_that_cannot_be_are_refused(films: Path, settings: dict[str, Any], line: str) -> None:
    refused(films, line, **settings)
    save_pictures(films / "more", ramp(3, 20))
    refused(films, "clip: is in seconds, and pictures have no times; give fps, too", clip=1)


def test_crops_of_pictures_of_several_sizes_are_refused(tmp_path: Path) -> None:
    save_pictures(tmp_path / "films/take", [*ramp(2), *ramp(2, 40)])
    refused(
        tmp_path / "films", r"take: has pictures of several sizes \(number 2\)", crops=1, size=8
    )
