"""Sets that others wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
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
        assert other.info.metadata == {"tasks": ["walker-walk"]}
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
