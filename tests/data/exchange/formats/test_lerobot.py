"""LeRobot v3.0: the documented layout, other people's sets, and files that mean harm."""

from __future__ import annotations

import json
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LawmError, Provenance, Role

from lawm_data import Corpus, CorpusWriter, open_corpus
from lawm_data.exchange import export_corpus, import_corpus
from lawm_data.exchange.formats.lerobot import parquet
from lawm_data.exchange.formats.lerobot.videos import FilmReader
from lawm_data.system.video import write_video

PIXELS = ArraySpec(name="camera", shape=(16, 24, 3), dtype="uint8", role=Role.pixels)
STATE = (ArraySpec(name="position", shape=(2,)), ArraySpec(name="height", shape=()))
DOUBLE = ArraySpec(name="clock", shape=(2, 2), dtype="float64")
PHYSICS = ArraySpec(name="simulator", shape=(3,), dtype="float64", role=Role.physics)
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
FRAMES = "data/chunk-000/file-000.parquet"
STATISTICS = ("min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99")
LABELS = ("observed", "missing", "partial", "observed")


@pytest.fixture
def corpus(tmp_path: Path, plain_plan: Callable) -> Corpus:
    """Four trajectories, the second without actions and the third with some."""
    plan = plain_plan(observations=(*STATE, DOUBLE, PIXELS, PHYSICS))
    changed = [{**t, "labels": labels} for t, labels in zip(plan.trajectories, LABELS, strict=True)]
    return plain_plan(observations=plan.observations, trajectories=tuple(changed)).write(
        tmp_path / "corpus"
    )


@pytest.fixture
def exported(tmp_path: Path, corpus: Corpus) -> Path:
    export_corpus(corpus, f"lerobot:{tmp_path / 'set'}")
    return tmp_path / "set"


@pytest.fixture
def foreign(exported: Path) -> Path:
    """The same set as somebody else would have written it."""
    shutil.rmtree(exported / "meta/lawm")
    return exported


def brought(place: Path, **settings: Any) -> Corpus:
    out = place.parent / "back"
    import_corpus(f"lerobot:{place}", out, settings)
    return open_corpus(out, verify=True)


def refused(place: Path, match: str) -> None:
    with pytest.raises(LawmError, match=match) as refusal:
        brought(place)
    assert "\n" not in str(refusal.value)
    assert not (place.parent / "back").exists()


def edit_info(place: Path, **changed: Any) -> None:
    file = place / "meta/info.json"
    info = json.loads(file.read_text()) | changed
    file.write_text(json.dumps({key: value for key, value in info.items() if value is not ...}))


def edit_features(place: Path, **changed: Any) -> None:
    features = json.loads((place / "meta/info.json").read_text())["features"]
    edit_info(place, features=features | {k.replace("__", "."): v for k, v in changed.items()})


def edit_column(file: Path, name: str, values: Any) -> None:
    table = pq.read_table(file)
    at = table.schema.get_field_index(name)
    pq.write_table(table.set_column(at, name, values), file)


def without(place: Path, *names: str) -> None:
    info = json.loads((place / "meta/info.json").read_text())
    features = {k: v for k, v in info["features"].items() if k not in names}
    edit_info(place, features=features)
    table = pq.read_table(place / FRAMES)
    pq.write_table(
        table.drop_columns([n for n in names if n in table.schema.names]), place / FRAMES
    )


def test_the_layout_is_the_documented_one(exported: Path, corpus: Corpus) -> None:
    info = json.loads((exported / "meta/info.json").read_text())
    steps = int(corpus.table.length.sum())
    assert (info["codebase_version"], info["total_episodes"]) == ("v3.0", 4)
    assert (info["total_frames"], info["total_tasks"]) == (steps, 1)
    assert info["splits"] == {"train": "0:4"}
    assert (info["chunks_size"], info["data_files_size_in_mb"]) == (1000, 100)
    features = info["features"]
    assert features["observation.state"]["names"] == ["position[0]", "position[1]", "height"]
    assert features["observation.clock"] == {
        "dtype": "float64",
        "shape": [4],
        "names": ["clock[0,0]", "clock[0,1]", "clock[1,0]", "clock[1,1]"],
    }
    assert features["observation.images.camera"]["dtype"] == "image"
    table = pq.read_table(exported / FRAMES)
    assert table.schema.names == list(features)
    assert table.schema.field("observation.state").type == pa.list_(pa.float32(), 3)
    assert table.schema.field("timestamp").type == pa.float32()
    assert table["index"].to_pylist() == list(range(steps))
    assert not any(table[name].null_count for name in table.schema.names)
    for name in ("frame_index", "episode_index", "index", "task_index"):
        assert table.schema.field(name).type == pa.int64()
    # LeRobot feeds whatever is named so to its policies
    fed = [name for name in features if name.startswith("action")]
    assert fed == ["action"]
    tasks = pq.read_table(exported / "meta/tasks.parquet")
    told = json.loads(tasks.schema.metadata[b"pandas"])
    assert tasks.column(told["index_columns"][0]).to_pylist() == ["walker-walk"]


def test_the_table_of_episodes_is_the_documented_one(exported: Path, corpus: Corpus) -> None:
    rows = pq.read_table(exported / EPISODES).to_pylist()
    info = json.loads((exported / "meta/info.json").read_text())
    numeric = [k for k, f in info["features"].items() if f["dtype"] != "string"]
    start = 0
    for number, row in enumerate(rows):
        length = int(corpus.table.length[number])
        assert (row["episode_index"], row["length"], row["tasks"]) == (
            number,
            length,
            ["walker-walk"],
        )
        assert (row["dataset_from_index"], row["dataset_to_index"]) == (start, start + length)
        for name in ("data/chunk_index", "data/file_index", "meta/episodes/chunk_index"):
            assert row[name] == 0
        assert {f"stats/{k}/{s}" for k in numeric for s in STATISTICS} <= set(row)
        start += length


def test_statistics_are_those_of_observed_actions(exported: Path, corpus: Corpus) -> None:
    stats = json.loads((exported / "meta/stats.json").read_text())
    shown = [t.actions[t.action_observed] for t in corpus if t.actions is not None]
    observed = np.concatenate(shown).astype(float)
    told = stats["action"]
    assert told["count"] == [len(observed)]
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(told[name], getattr(observed, name)(0))
    camera = np.concatenate([t.observations["camera"][:-1] for t in corpus]) / 255
    np.testing.assert_allclose(
        np.ravel(stats["observation.images.camera"]["mean"]), camera.mean((0, 1, 2))
    )


def test_an_episode_without_actions_changes_no_total(exported: Path) -> None:
    """LeRobot's tools put the statistics of episodes together again, weighted by their count."""
    rows = pq.read_table(exported / EPISODES).to_pylist()
    stats = json.loads((exported / "meta/stats.json").read_text())["action"]
    parts = {s: np.array([row[f"stats/action/{s}"] for row in rows]) for s in STATISTICS}
    assert parts["count"][:, 0].tolist() == [7, 0, 8, 1]
    np.testing.assert_allclose(parts["min"].min(0), stats["min"])
    np.testing.assert_allclose(parts["max"].max(0), stats["max"])
    weights = parts["count"][:, 0]
    for name in ("mean", "q01", "q50", "q99"):
        np.testing.assert_allclose(np.average(parts[name], 0, weights), stats[name])


def test_statistics_stay_numbers(tmp_path: Path, plain_plan: Callable) -> None:
    """Squares of these overflow; JSON has no infinity."""
    huge = ArraySpec(name="huge", shape=(2,), dtype="float64", role=Role.physics)
    given = {"observations": [*STATE, huge], "action": plain_plan().action}
    with CorpusWriter.create(tmp_path / "huge", **given) as writer:
        arrays = {
            "huge": np.array([[1e300, -1e300], [-1e300, 1e300], [1.0, 0.0]]),
            "position": np.zeros((3, 2)),
            "height": np.zeros(3),
        }
        writer.add(arrays, [0.0, 1.0], np.zeros((2, 2)), provenance=Provenance(source="test"))
    export_corpus(open_corpus(tmp_path / "huge"), f"lerobot:{tmp_path / 'set'}")
    stats = json.loads((tmp_path / "set/meta/stats.json").read_text())["physics.huge"]
    assert np.isfinite(stats["std"]).all()
    assert stats["max"] == [1e300, 1e300]
    assert open_corpus(tmp_path / "huge").fingerprint == brought(tmp_path / "set").fingerprint


def test_unobserved_actions_are_zero_and_marked(exported: Path, corpus: Corpus) -> None:
    table = pq.read_table(exported / FRAMES)
    observed = np.concatenate([t.action_observed for t in corpus])
    actions = np.array(table["action"].to_pylist())
    assert np.array_equal(table["lawm.action_observed"].to_numpy(), observed)
    assert not actions[~observed].any()
    states = np.array(table["lawm.action_state"].to_pylist())
    assert np.array_equal(states == "observed", observed)
    assert set(states[~observed]) == {"missing"}


def test_a_mask_is_told_from_what_was_never_recorded(tmp_path: Path, corpus: Corpus) -> None:
    export_corpus(corpus.with_mask("mask-0"), f"lerobot:{tmp_path / 'set'}")
    table = pq.read_table(tmp_path / "set" / FRAMES)
    states = table["lawm.action_state"].to_pylist()
    assert set(states) == {"observed", "withheld", "missing"}
    assert not (tmp_path / "set/meta/lawm/masks").exists()


def test_full_files_are_followed_by_new_ones(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "DATA_MB", 0)
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1)
    monkeypatch.setattr(parquet, "CHUNK_FILES", 2)
    export_corpus(corpus, f"lerobot:{tmp_path / 'set'}")
    files = sorted(p.name for p in (tmp_path / "set/data").rglob("*.parquet"))
    assert len(files) >= 4
    assert (tmp_path / "set/data/chunk-001").is_dir()
    assert brought(tmp_path / "set").fingerprint == corpus.fingerprint


def test_a_foreign_set_comes_without_its_last_actions(foreign: Path, corpus: Corpus) -> None:
    back = brought(foreign)
    kept = [t for t in corpus if len(t) > 1]
    assert len(back) == len(kept)
    for one, other in zip(kept, back, strict=True):
        steps = len(one) - 1
        assert len(other) == steps
        state = other.observations["state"]
        assert np.array_equal(state, one.observations.state[:-1, :3])
        clock = one.observations["clock"][:-1]
        assert np.array_equal(other.observations["clock"], clock.reshape(-1, 4))
        assert np.array_equal(other.observations["camera"], one.observations["camera"][:-1])
        assert np.array_equal(other.rewards, one.rewards[:-1])
        assert np.array_equal(other.actions, zeroed(one)[:-1])
        assert other.info.metadata == {"tasks": ["walker-walk"]}
        assert (other.info.terminated, other.info.truncated) == (False, True)
    said = back.manifest.lineage[-1].settings["converted"]
    assert any("no observation follows the last action" in line for line in said)
    assert any("1 episodes of a single frame" in line for line in said)


def zeroed(trajectory: Any) -> np.ndarray:
    """What a LeRobot set says of the actions: nobody else knows that zeros are none."""
    return np.zeros((len(trajectory), 2)) if trajectory.actions is None else trajectory.actions


def test_sets_without_actions_and_rewards(foreign: Path) -> None:
    without(foreign, "action", "next.reward", "next.done", "next.truncated", "next.terminated")
    back = brought(foreign, actions=5)
    assert back.manifest.action.shape == (5,)
    assert back.label_counts()["missing"] == len(back) == 3
    for trajectory in back:
        assert trajectory.actions is None
        assert not trajectory.rewards.any()
        assert trajectory.info.metadata["rewards"] == "none"
        assert (trajectory.info.terminated, trajectory.info.truncated) == (False, False)
    said = " ".join(back.manifest.lineage[-1].settings["converted"])
    assert "no rewards were recorded" in said
    assert "no actions were recorded" in said


@pytest.mark.parametrize("nothing", [None, [np.nan, np.nan]])
def test_null_and_nan_actions_are_not_observed(foreign: Path, nothing: Any) -> None:
    actions = pq.read_table(foreign / FRAMES)["action"].to_pylist()
    actions[:7] = [nothing] * 7
    actions[11] = nothing
    edit_column(foreign / FRAMES, "action", pa.array(actions, pa.list_(pa.float32())))
    first, _, third = brought(foreign)
    assert first.actions is None
    assert third.action_observed.sum() == len(third) - 1


def test_one_nan_in_an_action_is_refused(foreign: Path) -> None:
    actions = pq.read_table(foreign / FRAMES)["action"].to_pylist()
    actions[1] = [np.nan, 0.5]
    edit_column(foreign / FRAMES, "action", pa.array(actions, pa.list_(pa.float32(), 2)))
    refused(foreign, "nan at .* is not a finite number")


def test_a_done_that_is_all_there_is_means_terminated(foreign: Path) -> None:
    without(foreign, "next.truncated", "next.terminated")
    done = pq.read_table(foreign / FRAMES)["next.done"].to_pylist()
    done[5] = True
    edit_column(foreign / FRAMES, "next.done", pa.array(done))
    first = brought(foreign)[0]
    assert (first.info.terminated, first.info.truncated) == (True, False)


def test_an_end_in_the_middle_is_refused(foreign: Path) -> None:
    done = pq.read_table(foreign / FRAMES)["next.done"].to_pylist()
    edit_column(foreign / FRAMES, "next.done", pa.array([True, *done[1:]]))
    refused(foreign, "episode 0: ends at frame 0 of 7; split the episode there")


def test_nested_lists_and_other_orders_of_axes(foreign: Path) -> None:
    rows = len(pq.read_table(foreign / FRAMES))
    grid = np.arange(rows * 6, dtype=np.float32).reshape(rows, 2, 3)
    table = pq.read_table(foreign / FRAMES)
    pq.write_table(
        table.append_column("observation.grid", pa.array(grid.tolist())), foreign / FRAMES
    )
    edit_features(
        foreign,
        observation__grid={"dtype": "float32", "shape": [2, 3], "names": None},
        observation__images__camera={
            "dtype": "image",
            "shape": [3, 16, 24],
            "names": ["channels", "height", "width"],
        },
    )
    back = brought(foreign, size=8)
    specs = {spec.name: spec.shape for spec in back.manifest.observations}
    assert (specs["grid"], specs["camera"]) == ((2, 3), (8, 8, 3))
    assert np.array_equal(back[0].observations["grid"], grid[:7])


def test_mp4_is_close_and_everything_else_is_exact(tmp_path: Path, plain_plan: Callable) -> None:
    plan = plain_plan(observations=(*STATE, PIXELS), trajectories=plain_plan().trajectories[:2])
    corpus = plan.write(tmp_path / "corpus")
    told = export_corpus(corpus, f"lerobot:{tmp_path / 'set'}", {"pixels": "mp4"})
    assert any("lossy" in line for line in told.said)
    info = json.loads((tmp_path / "set/meta/info.json").read_text())
    assert info["features"]["observation.images.camera"]["dtype"] == "video"
    rows = pq.read_table(tmp_path / "set" / EPISODES).to_pylist()
    start = "videos/observation.images.camera/from_timestamp"
    assert [row[start] for row in rows] == [0, pytest.approx(7 / info["fps"])]
    back = brought(tmp_path / "set")
    for one, other in zip(corpus, back, strict=True):
        assert np.array_equal(one.observations.state, other.observations.state)
        assert np.array_equal(one.actions, other.actions)
        camera, seen = one.observations["camera"], other.observations["camera"]
        assert np.array_equal(camera[-1], seen[-1])
        # noise is the worst that an encoder can be given; a wrong frame would be 85 off
        assert np.abs(camera.astype(int) - seen).mean() < 60
    video = next((tmp_path / "set").rglob("*.mp4"))
    shutil.rmtree(tmp_path / "back")
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    refused(tmp_path / "set", "is no sound video")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"codebase_version": "v2.1"}, "has version 'v2.1', not v3.0; python -m lerobot"),
        ({"codebase_version": None}, "has version None"),
        ({"fps": 0}, "no sound fps"),
        ({"fps": True}, "no sound fps"),
        ({"total_frames": 5}, "says total_frames 5"),
        ({"total_episodes": 1 << 60}, "says total_episodes"),
        ({"data_path": "../{chunk_index:03d}/{file_index:03d}.parquet"}, "has a path"),
        ({"data_path": "/etc/passwd"}, "has a path"),
        ({"data_path": "{chunk_index:0999999999d}"}, "has a path"),
        ({"data_path": "{chunk_index.__class__}"}, "has a path"),
        ({"data_path": "data\0"}, "has a path"),
        ({"data_path": ...}, "does not say where the files are"),
        ({"data_path": "data/{file_index}.parquet"}, "no such file"),
        ({"features": {}}, "describes no features"),
        ({"features": 7}, "describes no features"),
    ],
)
def test_a_description_that_means_harm_is_refused(
    exported: Path, changed: dict[str, Any], match: str
) -> None:
    edit_info(exported, **changed)
    refused(exported, match)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ([1 << 20, 1 << 20], "numbers a frame"),
        ([1 << 60], "has shape"),
        ([-1], "has shape"),
        ([1.5], "has shape"),
        ("3", "has no dtype or no shape"),
        ([4], "has not 4 numbers a row"),
    ],
)
def test_shape_bombs_are_refused(foreign: Path, shape: Any, match: str) -> None:
    edit_features(foreign, observation__state={"dtype": "float32", "shape": shape, "names": None})
    refused(foreign, match)


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


def test_a_sidecar_of_another_set_is_refused(exported: Path) -> None:
    rows = pq.read_table(exported / "meta/lawm/trajectories.parquet")
    pq.write_table(rows.slice(0, 3), exported / "meta/lawm/trajectories.parquet")
    refused(exported, "knows 3 trajectories, and there are 4; restore it, or remove meta/lawm")


@pytest.mark.parametrize("column", ["provenance", "length", "terminated", "metadata", "seed", "id"])
def test_a_sidecar_of_other_types_is_refused(exported: Path, column: str) -> None:
    path = exported / "meta/lawm/trajectories.parquet"
    edit_column(path, column, pa.array([[1.0]] * len(pq.read_table(path))))
    refused(exported, f"{column} is not (int64|bool|string); restore it")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("overlay", "environment") for value in ([], {}, 0, "", [1])),
        *((key, value) for key in ("masks", "lineage", "provenance") for value in (0, [1])),
        ("provenance", []),
    ],
)
def test_a_sidecar_of_other_words_is_refused(exported: Path, key: str, value: Any) -> None:
    path = exported / "meta/lawm/corpus.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, key: value}))
    refused(exported, "meta/lawm")


@pytest.mark.parametrize("where", ["data", "meta/lawm", "meta/episodes"])
def test_links_to_the_outside_are_refused(exported: Path, where: str) -> None:
    (exported / where).rename(exported.parent / "outside")
    (exported / where).symlink_to(exported.parent / "outside")
    refused(exported, "leads outside the set")


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


def test_settings_are_checked(exported: Path, tmp_path: Path, corpus: Corpus) -> None:
    for settings in ({"pixels": "webm"}, {"fps": 0}, {"fps": "fast"}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            export_corpus(corpus, f"lerobot:{tmp_path / 'other'}", settings)
    shutil.rmtree(exported / "meta/lawm")
    for settings in ({"size": -1}, {"actions": 0}, {"size": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            import_corpus(f"lerobot:{exported}", tmp_path / "back", settings)


def test_an_mp4_needs_a_rate_that_it_can_keep(tmp_path: Path, corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match=r"an mp4 cannot have 33\.3333 frames a second"):
        export_corpus(corpus, f"lerobot:{tmp_path / 's'}", {"pixels": "mp4", "fps": 100 / 3})


def test_a_film_of_another_rate_is_read_by_its_time(tmp_path: Path) -> None:
    frames = [np.full((16, 16, 3), 5 * i, np.uint8) for i in range(40)]
    write_video(tmp_path / "film.mp4", frames, 20)
    reader = FilmReader(10)
    for start in (0.5, 1.0):
        shown = [frame.mean() / 5 for frame in reader.read(tmp_path / "film.mp4", start, 4)]
        np.testing.assert_allclose(shown, 20 * start + 2 * np.arange(4), atol=1.5)
    with pytest.raises(CorpusError, match="ends after 20 frames, and 24 are needed"):
        list(reader.read(tmp_path / "film.mp4", 2.0, 4))


def test_a_missing_package_is_named(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"needs the package pyarrow; pip install 'lawm\[lerobot"):
        export_corpus(corpus, f"lerobot:{tmp_path / 'set'}")
