"""The documented layout of LeRobot v3.0."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lawm_schemas import ArraySpec, ConfigError, Role
from lerobot_sets import EPISODES, FRAMES, PIXELS, STATE, brought, edit_column, edit_info, refused

from lawm_data import Corpus, filter_corpus, merge_corpora, open_corpus, write_overlay
from lawm_data.exchange import export_corpus, import_corpus
from lawm_data.exchange.formats.lerobot import parquet
from lawm_data.exchange.formats.lerobot.parquet import write_tasks
from lawm_data.exchange.formats.lerobot.writer import _spans

STATISTICS = ("min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99")


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
    pandas = json.loads(tasks.schema.metadata[b"pandas"])
    assert tasks.column(pandas["index_columns"][0]).to_pylist() == ["walker-walk"]


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


def test_depths_come_back_and_are_counted_as_they_are(tmp_path: Path, plain_plan: Callable) -> None:
    depth = ArraySpec(name="depth", shape=(16, 24, 1), dtype="uint16", role=Role.pixels)
    corpus = plain_plan(observations=(*STATE, depth)).write(tmp_path / "deep")
    for settings in ({}, {"pixels": "mp4"}):
        place = tmp_path / f"set-{len(settings)}"
        export_corpus(corpus, f"lerobot:{place}", settings)
        info = json.loads((place / "meta/info.json").read_text())
        feature = info["features"]["observation.images.depth"]
        assert feature["dtype"] == "image"
        assert feature["info"] == {"is_depth_map": True, "depth_unit": "mm"}
        stats = json.loads((place / "meta/stats.json").read_text())["observation.images.depth"]
        frames = np.concatenate([t.observations["depth"][:-1] for t in corpus])
        assert np.ravel(stats["max"]) == [frames.max()]
        np.testing.assert_allclose(np.ravel(stats["mean"]), [frames.mean()])
        shutil.rmtree(tmp_path / "back", ignore_errors=True)
        assert brought(place).fingerprint == corpus.fingerprint
        shutil.rmtree(place / "meta/lawm")
        shutil.rmtree(tmp_path / "back")
        foreign = brought(place)[0].observations["depth"]
        assert foreign.dtype == np.uint16
        assert np.array_equal(foreign[:-1], corpus[0].observations["depth"][:-1])


def test_unobserved_actions_are_zero_and_marked(exported: Path, corpus: Corpus) -> None:
    table = pq.read_table(exported / FRAMES)
    observed = np.concatenate([t.action_observed for t in corpus])
    actions = np.array(table["action"].to_pylist())
    assert np.array_equal(table["lawm.action_observed"].to_numpy(), observed)
    assert not actions[~observed].any()
    states = np.array(table["lawm.action_state"].to_pylist())
    assert np.array_equal(states == "observed", observed)
    assert set(states[~observed]) == {"missing"}


def test_a_mask_is_known_from_what_was_never_recorded(tmp_path: Path, corpus: Corpus) -> None:
    export_corpus(corpus.with_mask("mask-0"), f"lerobot:{tmp_path / 'set'}")
    table = pq.read_table(tmp_path / "set" / FRAMES)
    states = table["lawm.action_state"].to_pylist()
    assert set(states) == {"observed", "withheld", "missing"}
    assert not (tmp_path / "set/meta/lawm/masks").exists()


def test_statistics_of_inferred_actions_are_of_these_alone(tmp_path: Path, corpus: Corpus) -> None:
    """The zeros that stand in their place elsewhere count nothing."""
    size, rng = corpus.manifest.action.size, np.random.default_rng(0)
    shape = int(corpus.table.length[1]), size
    mean, std = rng.uniform(2, 3, shape), rng.uniform(0.5, 1, shape)
    labels = [(str(corpus.table.id[1]), mean, std)]
    write_overlay(corpus, labels, name="idm", model="0" * 64, algorithm="lawm")
    export_corpus(corpus.with_labels("idm"), f"lerobot:{tmp_path / 'set'}")
    stats = json.loads((tmp_path / "set" / "meta/stats.json").read_text())
    for name, values in (("lawm.inferred_mean", mean), ("lawm.inferred_std", std)):
        found = stats[name]
        assert found["count"] == [len(values)]
        for key, expected in (
            ("min", values.min(0)),
            ("max", values.max(0)),
            ("mean", values.mean(0)),
            ("std", values.std(0)),
            ("q50", np.median(values, 0)),
        ):
            np.testing.assert_allclose(found[key], expected, rtol=1e-4)


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


def test_mp4_is_close_and_everything_else_is_exact(tmp_path: Path, plain_plan: Callable) -> None:
    plan = plain_plan(observations=(*STATE, PIXELS), trajectories=plain_plan().trajectories[:2])
    corpus = plan.write(tmp_path / "corpus")
    written = export_corpus(corpus, f"lerobot:{tmp_path / 'set'}", {"pixels": "mp4"})
    assert any("lossy" in line for line in written.notes)
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


def test_settings_are_checked(exported: Path, tmp_path: Path, corpus: Corpus) -> None:
    for settings in ({"pixels": "webm"}, {"fps": 0}, {"fps": "fast"}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            export_corpus(corpus, f"lerobot:{tmp_path / 'other'}", settings)
    shutil.rmtree(exported / "meta/lawm")
    for settings in ({"size": -1}, {"actions": 0}, {"size": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            import_corpus(f"lerobot:{exported}", tmp_path / "back", settings)


@pytest.mark.parametrize("said", ["as now", "as earlier", "nothing"])
def test_which_trajectories_have_inferred_actions_is_a_column(
    tmp_path: Path, corpus: Corpus, said: str
) -> None:
    missing = [str(corpus.table.id[1])]
    labels = [(i, np.ones((len(corpus[i]), 2)), np.zeros((len(corpus[i]), 2))) for i in missing]
    write_overlay(corpus, labels, name="idm", model="0" * 64, algorithm="lawm")
    export_corpus(corpus.with_labels("idm"), f"lerobot:{tmp_path / 'set'}")
    file = tmp_path / "set/meta/lawm/trajectories.parquet"
    table = pq.read_table(file)
    at = table.schema.get_field_index("inferred")
    if said == "as earlier":
        pq.write_table(table.remove_column(at), file)
    if said == "nothing":
        none = pa.array([False] * len(table))
        pq.write_table(table.set_column(at, "inferred", none), file)
    made = import_corpus(f"lerobot:{tmp_path / 'set'}", tmp_path / "back")
    back = open_corpus(tmp_path / "back")
    if said == "nothing":
        assert made.overlays == ()
        assert not (back.path / "labels").exists()
        assert "labels idm: came without inferred actions, left out" in made.notes
    else:
        assert back.with_labels("idm").label_counts()["inferred"] == 1


def test_an_mp4_needs_a_rate_that_it_can_keep(tmp_path: Path, corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match=r"an mp4 cannot have 33\.3333 frames a second"):
        export_corpus(corpus, f"lerobot:{tmp_path / 's'}", {"pixels": "mp4", "fps": 100 / 3})


def test_a_missing_package_is_named(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"needs the package pyarrow; pip install 'lawm\[lerobot"):
        export_corpus(corpus, f"lerobot:{tmp_path / 'set'}")


def test_what_a_set_said_of_itself_is_there_when_it_goes_out_again(exported: Path) -> None:
    """Frame rate, robot, tasks and names of joints, through a corpus and without the sidecar."""
    file = exported / "meta/info.json"
    info = json.loads(file.read_text()) | {"fps": 20, "robot_type": "so101"}
    info["splits"] = {"train": "0:2", "validation": "2:4"}
    info["features"]["action"]["names"] = ["shoulder.pos", "gripper.pos"]
    file.write_text(json.dumps(info))
    shutil.rmtree(exported / "meta/lawm")
    tasks = [["wash up"], ["dry", "stack"], ["wash up"], ["stack"]]
    edit_column(exported / EPISODES, "tasks", pa.array(tasks, pa.list_(pa.string())))
    of_frames = [2] * 7 + [1, 1, 0] + [2] * 12 + [0]
    edit_column(exported / FRAMES, "task_index", pa.array(of_frames))
    write_tasks(exported, ["stack", "dry", "wash up"])
    written = export_corpus(brought(exported), f"lerobot:{exported.parent / 'again'}")
    assert not any("how long a step lasts" in note for note in written.notes)
    again = json.loads((exported.parent / "again/meta/info.json").read_text())
    assert (again["fps"], again["robot_type"]) == (20, "so101")
    assert again["features"]["action"]["names"] == ["shoulder.pos", "gripper.pos"]
    found = pq.read_table(exported.parent / "again" / EPISODES)["tasks"].to_pylist()
    assert found == tasks
    assert again["splits"] == info["splits"]
    named = pq.read_table(exported.parent / "again/meta/tasks.parquet").column(1).to_pylist()
    frames = pq.read_table(exported.parent / "again" / FRAMES)["task_index"].to_pylist()
    assert [named[i] for i in frames] == ["wash up"] * 7 + ["dry", "dry", "stack"] + [
        *["wash up"] * 12,
        "stack",
    ]


def test_corpora_of_one_robot_keep_what_all_of_them_say(exported: Path) -> None:
    file = exported / "meta/info.json"
    shutil.rmtree(exported / "meta/lawm")
    info = json.loads(file.read_text()) | {"fps": 20}
    info["features"]["action"]["names"] = ["shoulder.pos", "gripper.pos"]
    corpora = []
    for i, robot in enumerate(("so101", "so100")):
        file.write_text(json.dumps(info | {"robot_type": robot}))
        place = exported.rename(exported.parent / f"set-{i}")
        import_corpus(f"lerobot:{place}", exported.parent / f"corpus-{i}")
        corpora.append(open_corpus(exported.parent / f"corpus-{i}"))
        shutil.copytree(place, exported)
        rewards = pq.read_table(exported / FRAMES)["next.reward"].to_numpy() + np.float32(1)
        edit_column(exported / FRAMES, "next.reward", pa.array(rewards))  # else they are the same
    merged = merge_corpora(corpora, exported.parent / "merged").path
    written = export_corpus(open_corpus(merged), f"lerobot:{exported.parent / 'again'}")
    assert "the sources have several robots, so101, so100: robot_type names none" in written.notes
    assert not any("joints" in note for note in written.notes)
    again = json.loads((exported.parent / "again/meta/info.json").read_text())
    assert (again["fps"], again["robot_type"]) == (20, None)
    assert again["features"]["action"]["names"] == ["shoulder.pos", "gripper.pos"]


@pytest.mark.parametrize(
    ("splits", "spans", "scattered"),
    [
        (["train"], {"train": "0:1"}, []),
        (["a", "a", "b"], {"a": "0:2", "b": "2:3"}, []),
        (["a", "b", "a"], {"b": "1:2"}, ["a"]),
        (["train", "train", "train", ""], {"train": "0:3"}, []),
        (["", "a"], {"a": "1:2"}, []),
        (["", ""], {"train": "0:2"}, []),
        (["a few", "a", "b"], {"a": "0:2", "few": "0:1", "b": "2:3"}, []),
    ],
)
def test_splits_are_runs_of_episodes(splits: list, spans: dict[str, str], scattered: list) -> None:
    assert _spans([tuple(names.split()) for names in splits]) == (spans, scattered)


@pytest.mark.parametrize(
    ("splits", "metadata"),
    [
        ({"train": "0:3"}, [{"split": "train"}] * 3 + [{}]),
        (
            {"train": "0:3", "test": "3:4", "few": "0:1"},
            [
                {"split": "train", "splits": ["train", "few"]},
                *[{"split": "train"}] * 2,
                {"split": "test"},
            ],
        ),
    ],
)
def test_no_episode_gets_into_a_split_that_it_was_not_in(
    foreign: Path, tmp_path: Path, splits: dict[str, str], metadata: list
) -> None:
    edit_info(foreign, splits=splits)
    back = brought(foreign)
    keys = ("split", "splits")
    told = [{k: v for k, v in t.info.metadata.items() if k in keys} for t in back]
    assert told == metadata
    exported = export_corpus(back, f"lerobot:{tmp_path / 'again'}")
    assert json.loads((tmp_path / "again/meta/info.json").read_text())["splits"] == splits
    assert not [note for note in exported.notes if note.startswith("split ")]


def test_splits_that_info_json_cannot_say_are_named(foreign: Path, tmp_path: Path) -> None:
    """As those of two merged sets; filtered out and merged part by part they go out again."""
    edit_info(foreign, splits={"train": "0:3", "test": "3:4"})
    corpora = []
    for fresh in (0, 1):
        rewards = pq.read_table(foreign / FRAMES)["next.reward"].to_numpy() + np.float32(fresh)
        edit_column(foreign / FRAMES, "next.reward", pa.array(rewards))
        import_corpus(f"lerobot:{foreign}", tmp_path / f"corpus-{fresh}")
        corpora.append(open_corpus(tmp_path / f"corpus-{fresh}"))
    merged = open_corpus(merge_corpora(corpora, tmp_path / "merged").path)
    exported = export_corpus(merged, f"lerobot:{tmp_path / 'scattered'}")
    assert json.loads((tmp_path / "scattered/meta/info.json").read_text())["splits"] == {}
    assert "split train, test: their episodes do not stand together" in str(exported.notes)
    parts = []
    for name in ("train", "test"):
        filter_corpus(merged, f"split == '{name}'", tmp_path / name)
        parts.append(open_corpus(tmp_path / name))
    merge_corpora(parts, tmp_path / "parts")
    export_corpus(open_corpus(tmp_path / "parts"), f"lerobot:{tmp_path / 'again'}")
    again = json.loads((tmp_path / "again/meta/info.json").read_text())
    assert again["splits"] == {"train": "0:6", "test": "6:8"}


def test_filter_keys_of_robomimic_are_splits(tmp_path: Path, plain_plan: Callable) -> None:
    """What was held out there is not in a split of another name."""
    file = tmp_path / "a.hdf5"
    export_corpus(plain_plan().write(tmp_path / "corpus"), f"robomimic:{file}")
    with h5py.File(file, "a") as demos:
        del demos["lawm"]
        demos["mask/train"] = np.array(["demo_0", "demo_1", "demo_2"], "S")
        demos["mask/valid"] = np.array(["demo_3"], "S")
    import_corpus(f"robomimic:{file}", tmp_path / "back")
    export_corpus(open_corpus(tmp_path / "back"), f"lerobot:{tmp_path / 'set'}")
    info = json.loads((tmp_path / "set/meta/info.json").read_text())
    assert info["splits"] == {"train": "0:3", "valid": "3:4"}


def test_one_frame_rate_is_written_or_none(foreign: Path, tmp_path: Path) -> None:
    corpora = []
    for fps in (20, 10):
        edit_info(foreign, fps=fps)
        times = pq.read_table(foreign / FRAMES)["frame_index"].to_numpy() / fps
        edit_column(foreign / FRAMES, "timestamp", pa.array(times.astype(np.float32)))
        rewards = pq.read_table(foreign / FRAMES)["next.reward"].to_numpy() + np.float32(fps)
        edit_column(foreign / FRAMES, "next.reward", pa.array(rewards))
        import_corpus(f"lerobot:{foreign}", tmp_path / f"corpus-{fps}")
        corpora.append(open_corpus(tmp_path / f"corpus-{fps}"))
    merged = open_corpus(merge_corpora(corpora, tmp_path / "merged").path)
    what = r"fps: the sources have 20 and 10 frames a second, and a LeRobot set has one rate; give"
    with pytest.raises(ConfigError, match=what):
        export_corpus(merged, f"lerobot:{tmp_path / 'again'}")
    assert not (tmp_path / "again").exists()
    export_corpus(merged[4:], f"lerobot:{tmp_path / 'part'}")
    assert json.loads((tmp_path / "part/meta/info.json").read_text())["fps"] == 10
    export_corpus(merged, f"lerobot:{tmp_path / 'told'}", {"fps": 15})
    assert json.loads((tmp_path / "told/meta/info.json").read_text())["fps"] == 15


FULL = """
import resource, signal, sys
from lawm_cli.data_app import main

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(["export", "corpus", "lerobot:set"]))
"""


@pytest.mark.parametrize("limit", [0, 64, 1000, 4000])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, plain_plan, limit) -> None:
    one = plain_plan().trajectories[0]
    plain_plan(trajectories=({**one, "length": 1000},) * 3).write(tmp_path / "corpus")
    words = [sys.executable, "-W", "ignore", "-c", FULL, str(limit)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    *progress, line = done.stderr.strip().splitlines()
    assert all(text.startswith("export: ") for text in progress), done.stderr
    assert line.endswith("no space left on the device; free some space and run it again")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
