"""Sets that others wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lawm_schemas import ConfigError, LabelState
from lerobot_sets import FRAMES, brought, edit_column, edit_features, edit_info, refused

from lawm_data import Corpus
from lawm_data.exchange import export_corpus


def without(place: Path, *names: str) -> None:
    info = json.loads((place / "meta/info.json").read_text())
    features = {k: v for k, v in info["features"].items() if k not in names}
    edit_info(place, features=features)
    table = pq.read_table(place / FRAMES)
    pq.write_table(
        table.drop_columns([n for n in names if n in table.schema.names]), place / FRAMES
    )


def test_a_foreign_set_comes_without_its_last_observations(foreign: Path, corpus: Corpus) -> None:
    back = brought(foreign)
    assert not back.table.final_observed.any()
    for one, other in zip(corpus, back, strict=True):
        for name, array in (
            ("state", one.observations.state[:, :3]),
            ("clock", one.observations["clock"].reshape(-1, 4)),
            ("camera", one.observations["camera"]),
        ):
            repeated = np.concatenate([array[:-1], array[-2:-1]])
            assert np.array_equal(other.observations[name], repeated)
        assert np.array_equal(other.rewards, one.rewards)
        require_actions(one, other)
        assert other.info.metadata["tasks"] == ["walker-walk"]
        ends = (one.info.terminated, one.info.truncated)
        assert (other.info.terminated, other.info.truncated) == ends
    notes = back.manifest.lineage[-1].settings["converted"]
    assert any("final_observation: missing" in line for line in notes)


def test_the_frame_after_an_end_is_the_last_observation(foreign: Path) -> None:
    table = pq.read_table(foreign / FRAMES)
    for key in ("next.done", "next.terminated", "next.truncated"):
        flags = np.array(table[key].to_pylist())
        flags[[5, 6]] = [True, False]
        edit_column(foreign / FRAMES, key, pa.array(flags))
    first = brought(foreign)[0]
    assert (len(first), first.final_observed, first.info.terminated) == (6, True, True)


def test_without_rewards_and_ends_the_last_action_is_all_that_is_lost(foreign: Path) -> None:
    without(foreign, "next.reward", "next.done", "next.truncated", "next.terminated")
    back = brought(foreign)
    assert back.table.final_observed.all()
    assert len(back[0]) == 6
    notes = back.manifest.lineage[-1].settings["converted"]
    assert any("the last action of an episode, which was left out" in line for line in notes)
    assert "1 episodes of a single frame were left out: 3" in notes


def require_actions(one: Any, other: Any) -> None:
    """The same ones are observed, and these are the same."""
    seen = one.action_observed
    assert np.array_equal(other.action_observed, seen)
    assert other.labels is (LabelState.observed if seen.any() else LabelState.missing)
    if seen.any():
        assert np.array_equal(other.actions[seen], one.actions[seen])


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
def test_null_and_nan_actions_are_not_observed(foreign: Path, corpus: Corpus, nothing: Any) -> None:
    actions = pq.read_table(foreign / FRAMES)["action"].to_pylist()
    actions[:7] = [nothing] * 7
    actions[12] = nothing  # the third step of the third trajectory
    edit_column(foreign / FRAMES, "action", pa.array(actions, pa.list_(pa.float32())))
    first, _, third, last = brought(foreign)
    assert first.actions is None
    expected = corpus[2].action_observed
    assert expected[2]
    expected[2] = False
    assert np.array_equal(third.action_observed, expected)
    assert last.action_observed.all()


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


@pytest.mark.parametrize("gone", ["next.done", "next.terminated", "next.truncated", None])
def test_two_marks_of_an_end_say_what_the_third_would(
    foreign: Path, corpus: Corpus, gone: str | None
) -> None:
    both = [("next.terminated", True), ("next.truncated", False)]
    if gone is not None:
        without(foreign, gone)
    rows = pq.read_table(foreign / FRAMES)["episode_index"].to_pylist()
    for key, first in both:  # the first trajectory terminated, the second was truncated
        if key != gone:
            last = [rows.count(0) - 1 if first else rows.index(2) - 1]
            flags = np.isin(np.arange(len(rows)), last)
            edit_column(foreign / FRAMES, key, pa.array(flags))
    if gone != "next.done":
        last = np.isin(np.arange(len(rows)), [rows.index(i) - 1 for i in (1, 2)])
        edit_column(foreign / FRAMES, "next.done", pa.array(last))
    back = brought(foreign)
    assert back.table.length.tolist() == corpus.table.length.tolist()
    assert back.table.terminated.tolist() == [True, False, False, False]
    assert back.table.truncated.tolist() == [False, True, False, False]


def test_an_end_that_neither_mark_explains_is_no_terminal_state(foreign: Path) -> None:
    rows = len(pq.read_table(foreign / FRAMES))
    for key in ("next.terminated", "next.truncated"):
        edit_column(foreign / FRAMES, key, pa.array(np.zeros(rows, bool)))
    done = np.arange(rows) == 6
    edit_column(foreign / FRAMES, "next.done", pa.array(done))
    back = brought(foreign)
    assert back.table.truncated.tolist() == [True, False, False, False]
    assert not back.table.terminated.any()


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
    assert np.array_equal(back[0].observations["grid"][:-1], grid[:7])


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
    for one, other in zip(corpus, brought(foreign), strict=True):
        require_actions(one, other)


def test_features_can_be_declared_the_action(foreign: Path, corpus: Corpus) -> None:
    renamed(foreign, action=(BOTH, "float32"), joints__goal=(RIGHT, "float32"))
    back = brought(foreign, action="joints.goal,action")
    first, second = corpus[0].actions, back[0].actions
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
    assert np.array_equal(back[0].observations["state"][:-1], np.array(state.to_pylist()[:7]))


@pytest.mark.parametrize("name", ["observation.images.camera", "camera"])
def test_one_camera_never_costs_the_set(foreign: Path, name: str) -> None:
    key = "observation.images.camera"
    table = pq.read_table(foreign / FRAMES)
    broken = pa.array([{"bytes": b"x", "path": None}] * len(table), table.schema.field(key).type)
    edit_column(foreign / FRAMES, key, broken)
    refused(foreign, "is no sound picture .*; leave the camera out with --without")
    back = brought(foreign, without=name)
    assert "camera" not in [spec.name for spec in back.manifest.observations]
    assert len(back) == 4
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
    assert back.label_counts()["missing"] == len(back) == 4
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
    assert first.action_observed.tolist() == [False, True, True, False, True, True, True]
    seen = first.action_observed
    assert np.array_equal(first.actions[seen], corpus[0].actions[seen])


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


@pytest.mark.parametrize("episode", range(4))
@pytest.mark.parametrize("ends", [True, False])
def test_an_episode_without_rewards_keeps_all_its_steps(
    foreign: Path, corpus: Corpus, episode: int, ends: bool
) -> None:
    if not ends:
        without(foreign, "next.done", "next.truncated", "next.terminated")
    table = pq.read_table(foreign / FRAMES)
    rewards = np.array(table["next.reward"].to_pylist())
    rewards[np.array(table["episode_index"].to_pylist()) == episode] = np.nan
    edit_column(foreign / FRAMES, "next.reward", pa.array(rewards))
    back = brought(foreign)
    assert back.table.length.tolist() == corpus.table.length.tolist()
    assert back.table.rewarded.tolist() == [i != episode for i in range(4)]
    assert not back.table.final_observed.any()


@pytest.mark.parametrize("ends", [True, False])
def test_a_last_frame_without_a_reward_is_the_last_observation(foreign: Path, ends: bool) -> None:
    if not ends:
        without(foreign, "next.done", "next.truncated", "next.terminated")
    rewards = pq.read_table(foreign / FRAMES)["next.reward"].to_pylist()
    rewards[6] = np.nan
    edit_column(foreign / FRAMES, "next.reward", pa.array(rewards))
    back = brought(foreign)
    assert back.table.length.tolist() == [6, 3, 12, 1]
    assert back.table.final_observed.tolist() == [True, False, False, False]


def test_what_a_set_says_of_itself_is_kept(foreign: Path) -> None:
    edit_info(foreign, robot_type="so101", splits={"train": "0:2", "validation": "2:4"})
    joints = ["shoulder.pos", "gripper.pos"]
    edit_features(foreign, action={"dtype": "float32", "shape": [2], "names": joints})
    back = brought(foreign)
    said = back.manifest.provenance[0].settings
    assert (said["robot_type"], said["names"]["action"]) == ("so101", joints)
    assert said["names"]["state"] == ["position[0]", "position[1]", "height"]
    assert said["splits"] == {"train": "0:2", "validation": "2:4"}
    assert [t.info.metadata["split"] for t in back] == [
        "train",
        "train",
        "validation",
        "validation",
    ]


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
    found = brought(foreign)[0].observations["camera"][:-1]
    assert np.array_equal(found, corpus[0].observations["camera"][:-1])


def test_a_stack_of_frames_is_no_picture_and_can_be_left_out(foreign: Path) -> None:
    camera = {"dtype": "image", "shape": [16, 24, 9], "names": None}
    edit_features(foreign, observation__images__camera=camera)
    refused(foreign, "none of 1 to 4 channels; leave it out with --without")
    assert len(brought(foreign, without="observation.images.camera")) == 4


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


@pytest.mark.parametrize("name", ["camera", "observation.images.camera", "observation.state"])
def test_what_is_left_out_of_an_export_is_named(exported: Path, name: str) -> None:
    notes = brought(exported, without=name).manifest.lineage[-1].settings["converted"]
    left = "position, height" if name == "observation.state" else "camera"
    assert f"left out: {left}" in notes


@pytest.mark.parametrize("setting", [None, "lawm.action_observed"])
def test_the_mark_of_observed_actions_is_believed_unless_it_is_left_out(
    foreign: Path, corpus: Corpus, setting: str | None
) -> None:
    back = brought(foreign, **({} if setting is None else {"without": setting}))
    notes = back.manifest.lineage[-1].settings["converted"]
    counts = back.table.num_observed.tolist()
    if setting is None:
        assert counts == corpus.table.num_observed.tolist()
        assert any("lawm.action_observed does not mark are missing" in line for line in notes)
    else:
        assert counts == back.table.length.tolist()
        assert any(line.startswith("left out") and setting in line for line in notes)


def test_a_damaged_mark_of_observed_actions_never_makes_zeros_actions(foreign: Path) -> None:
    rows = len(pq.read_table(foreign / FRAMES))
    kind = pa.array(np.ones(rows, np.int64))
    edit_column(foreign / FRAMES, "lawm.action_observed", kind)
    refused(foreign, "lawm.action_observed: has type int64, not bool")
    edit_features(foreign, lawm__action_observed={"dtype": "int64", "shape": [1], "names": None})
    refused(foreign, r"has type int64 and shape \(1,\), not bool .*--without lawm.action_observed")
    without(foreign, "lawm.action_observed")
    refused(foreign, "is there without lawm.action_observed.*--without lawm.action_state")
    assert brought(foreign, without="lawm.action_state").label_counts()["observed"] == 4


@pytest.mark.parametrize("name", ["lawm.inferred_mean", "lawm.inferred_std"])
def test_inferred_actions_are_not_declared_observed(
    tmp_path: Path, plain_plan: Callable, name: str
) -> None:
    plan = plain_plan(seen="both")
    export_corpus(plan.view(plan.write(tmp_path / "corpus")), f"lerobot:{tmp_path / 'set'}")
    shutil.rmtree(tmp_path / "set/meta/lawm")
    with pytest.raises(ConfigError, match="holds inferred actions, not actions"):
        brought(tmp_path / "set", action=name)
