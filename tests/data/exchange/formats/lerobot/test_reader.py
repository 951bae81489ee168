"""Sets that others wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lawm_schemas import ConfigError
from lerobot_sets import FRAMES, brought, edit_column, edit_features, edit_info, refused

from lawm_data import Corpus


def without(place: Path, *names: str) -> None:
    info = json.loads((place / "meta/info.json").read_text())
    features = {k: v for k, v in info["features"].items() if k not in names}
    edit_info(place, features=features)
    table = pq.read_table(place / FRAMES)
    pq.write_table(
        table.drop_columns([n for n in names if n in table.schema.names]), place / FRAMES
    )


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
        assert other.info.metadata == {"tasks": ["walker-walk"], "split": "train"}
        assert (other.info.terminated, other.info.truncated) == (False, True)
    notes = back.manifest.lineage[-1].settings["converted"]
    assert any("no observation follows the last action" in line for line in notes)
    assert any("1 episodes of a single frame" in line for line in notes)


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
    notes = " ".join(back.manifest.lineage[-1].settings["converted"])
    assert "no rewards were recorded" in notes
    assert "no actions were recorded" in notes


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


def renamed(place: Path, **features: tuple[slice, str]) -> None:
    """Replace ``action`` by features that hold some of its columns; a dot is two underlines."""
    table = pq.read_table(place / FRAMES)
    actions = np.array(table["action"].to_pylist(), np.float32)
    info = json.loads((place / "meta/info.json").read_text())
    described = {k: v for k, v in info["features"].items() if k != "action"}
    table = table.drop_columns(["action"])
    for name, (part, dtype) in features.items():
        rows = actions[:, part].astype(dtype)
        table = table.append_column(name.replace("__", "."), pa.array(rows.tolist()))
        feature = {"dtype": dtype, "shape": [rows.shape[1]], "names": None}
        described[name.replace("__", ".")] = feature
    edit_info(place, features=described)
    pq.write_table(table, place / FRAMES)


BOTH, LEFT, RIGHT = slice(0, 2), slice(0, 1), slice(1, 2)


@pytest.mark.parametrize(
    "features",
    [
        {"actions": (BOTH, "float32")},
        {"action__arm": (LEFT, "float32"), "action__gripper": (RIGHT, "float32")},
        {"action__arm": (LEFT, "float64"), "action__gripper": (RIGHT, "float32")},
        {"action": (BOTH, "float32"), "action__other": (LEFT, "float32")},
    ],
)
def test_what_lerobot_takes_for_an_action_is_one(
    foreign: Path, corpus: Corpus, features: dict[str, tuple[slice, str]]
) -> None:
    renamed(foreign, **features)
    back = brought(foreign)
    assert back.label_counts()["observed"] == len(back) == 3
    kept = [t for t in corpus if len(t) > 1]
    for one, other in zip(kept, back, strict=True):
        np.testing.assert_array_equal(other.actions, zeroed(one)[:-1])


def test_features_can_be_declared_the_action(foreign: Path, corpus: Corpus) -> None:
    renamed(foreign, action=(BOTH, "float32"), joints__goal=(RIGHT, "float32"))
    back = brought(foreign, action="joints.goal,action")
    first, second = corpus[0].actions[:-1], back[0].actions
    assert np.array_equal(second, np.concatenate([first[:, 1:], first], 1))


def test_actions_that_cannot_be_put_side_by_side_are_refused(foreign: Path) -> None:
    renamed(foreign, action__arm=(LEFT, "float32"), action__is_pad=(RIGHT, "bool"))
    refused(foreign, "takes it for an action; say which .*: --set action=FEATURE")
    assert brought(foreign, action="action.arm").manifest.action.shape == (1,)


def test_a_feature_that_is_not_there_is_refused(foreign: Path) -> None:
    for setting in ("action", "observation", "without"):
        with pytest.raises(ConfigError, match=r"there is no feature .*'nose'.* there are .*action"):
            brought(foreign, **{setting: "nose"})


def test_features_can_be_declared_observed(foreign: Path) -> None:
    table = pq.read_table(foreign / FRAMES)
    state = table["observation.state"]
    pq.write_table(table.append_column("state", state), foreign / FRAMES)
    edit_features(foreign, state={"dtype": "float32", "shape": [3], "names": None})
    back = brought(foreign, observation="state", without="observation.state")
    assert "state" in [spec.name for spec in back.manifest.observations]
    assert np.array_equal(back[0].observations["state"], np.array(state.to_pylist()[:7]))


@pytest.mark.parametrize("name", ["observation.images.camera", "camera"])
def test_one_camera_never_costs_the_set(foreign: Path, name: str) -> None:
    key = "observation.images.camera"
    table = pq.read_table(foreign / FRAMES)
    broken = pa.array([{"bytes": b"x", "path": None}] * len(table), table.schema.field(key).type)
    edit_column(foreign / FRAMES, key, broken)
    refused(foreign, "is no sound picture .*; leave the camera out with --without")
    back = brought(foreign, without=name)
    assert "camera" not in [spec.name for spec in back.manifest.observations]
    assert len(back) == 3
    notes = back.manifest.lineage[-1].settings["converted"]
    assert any(line.startswith("left out: ") and key in line for line in notes)


NOTHING = {
    "null": lambda n: pa.nulls(n),
    "lists": lambda n: pa.array([None] * n, pa.list_(pa.float32())),
    "fixed lists": lambda n: pa.array([None] * n, pa.list_(pa.float32(), 2)),
    "lists of null": lambda n: pa.array([[None, None]] * n),
    "lists of nulls": lambda n: pa.array([[None, None]] * n, pa.list_(pa.float32())),
    "fixed lists of nulls": lambda n: pa.array([[None, None]] * n, pa.list_(pa.float32(), 2)),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_columns_of_nothing_are_missing(foreign: Path, kind: str) -> None:
    rows = len(pq.read_table(foreign / FRAMES))
    edit_column(foreign / FRAMES, "action", NOTHING[kind](rows))
    edit_column(foreign / FRAMES, "next.reward", pa.nulls(rows))
    back = brought(foreign)
    assert back.label_counts()["missing"] == len(back) == 3
    assert all(t.info.metadata["rewards"] == "none" for t in back)
    assert back.manifest.action.shape == (2,)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2)])
def test_some_actions_of_nulls_are_not_observed(
    foreign: Path, corpus: Corpus, kind: pa.DataType
) -> None:
    actions = pq.read_table(foreign / FRAMES)["action"].to_pylist()
    actions[0], actions[3] = [None, None], None
    edit_column(foreign / FRAMES, "action", pa.array(actions, kind))
    first = brought(foreign)[0]
    assert first.action_observed.tolist() == [False, True, True, False, True, True]
    seen = first.action_observed
    assert np.array_equal(first.actions[seen], corpus[0].actions[:-1][seen])


def test_half_an_action_is_refused(foreign: Path) -> None:
    actions = pq.read_table(foreign / FRAMES)["action"].to_pylist()
    actions[0] = [None, 0.5]
    edit_column(foreign / FRAMES, "action", pa.array(actions, pa.list_(pa.float32())))
    refused(foreign, "has missing numbers")


def test_rewards_of_nan_are_none_and_never_some(foreign: Path) -> None:
    rewards = np.array(pq.read_table(foreign / FRAMES)["next.reward"].to_pylist())
    edit_column(foreign / FRAMES, "next.reward", pa.array(np.full(len(rewards), np.nan)))
    assert brought(foreign)[0].info.metadata["rewards"] == "none"
    shutil.rmtree(foreign.parent / "back")
    rewards[2] = np.nan
    edit_column(foreign / FRAMES, "next.reward", pa.array(rewards))
    refused(foreign, "next.reward is missing in frame 2, .* --without next.reward")
    assert brought(foreign, without="next.reward")[0].info.metadata["rewards"] == "none"


def test_what_a_set_says_of_itself_is_kept(foreign: Path) -> None:
    edit_info(foreign, robot_type="so101", splits={"train": "0:2", "validation": "2:4"})
    joints = ["shoulder.pos", "gripper.pos"]
    edit_features(foreign, action={"dtype": "float32", "shape": [2], "names": joints})
    back = brought(foreign)
    notes = back.manifest.provenance[0].settings
    assert (notes["robot_type"], notes["names"]["action"]) == ("so101", joints)
    assert notes["names"]["state"] == ["position[0]", "position[1]", "height"]
    assert notes["splits"] == {"train": "0:2", "validation": "2:4"}
    assert [t.info.metadata["split"] for t in back] == ["train", "train", "validation"]


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        (["c", "h", "w"], [3, 16, 24]),
        (["C", "H", "W"], [3, 16, 24]),
        (["channel", "height", "width"], [3, 16, 24]),
        (["rgb", "y", "x"], [3, 16, 24]),
        (["first", "second", "third"], [3, 16, 24]),
        ({"axes": ["c", "h", "w"]}, [3, 16, 24]),
        (None, [3, 16, 24]),
        (["height", "width", "channel"], [16, 24, 3]),
        (["h", "w", "c"], [16, 24, 3]),
        (["channels", "height", "width"], [16, 24, 3]),
        (None, [16, 24, 3]),
    ],
)
def test_axes_of_any_name(foreign: Path, corpus: Corpus, names: Any, shape: list[int]) -> None:
    camera = {"dtype": "image", "shape": shape, "names": names}
    edit_features(foreign, observation__images__camera=camera)
    found = brought(foreign)[0].observations["camera"]
    assert np.array_equal(found, corpus[0].observations["camera"][:-1])


def test_a_stack_of_frames_is_no_picture_and_can_be_left_out(foreign: Path) -> None:
    camera = {"dtype": "image", "shape": [16, 24, 9], "names": None}
    edit_features(foreign, observation__images__camera=camera)
    refused(foreign, "none of 1 to 4 channels; leave it out with --without")
    assert len(brought(foreign, without="observation.images.camera")) == 3


def test_environment_and_bounds_are_declared(foreign: Path) -> None:
    corpus = brought(foreign, env="gym:Pendulum-v1", low=-40, high=40)
    environment, action = corpus.manifest.environment, corpus.manifest.action
    assert environment is not None
    assert (environment.suite, environment.task) == ("gym", "Pendulum-v1")
    assert (action.low, action.high) == ((-40.0,) * action.size, (40.0,) * action.size)


@pytest.mark.parametrize(
    "settings", [{"size": 8}, {"env": "walker-walk"}, {"low": -1, "high": 1}, {"fps": 9}]
)
def test_an_export_comes_back_as_it_was(exported: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"is a setting of .*; leave it out"):
        brought(exported, **settings)
