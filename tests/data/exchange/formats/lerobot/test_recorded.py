"""Sets that LeRobot's own recorder and tools wrote; ``tests/fixtures/peers`` says how."""

from __future__ import annotations

import json
import runpy
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lerobot_sets import brought, edit_info, refused

from lawm_data import Corpus

PEERS = Path(__file__).parents[4] / "fixtures/peers"
NEW, OLD = "lerobot-0.6.1", "lerobot-0.3.3"


RECORDED = runpy.run_path(str(PEERS / "record_lerobot.py"))
"""The program that recorded the sets: it knows what stands in their frames."""


@pytest.fixture
def unpacked(tmp_path: Path) -> Any:
    def unpack(archive: str, name: str) -> Path:
        with zipfile.ZipFile(PEERS / f"{archive}.zip") as packed:
            inside = [entry for entry in packed.namelist() if entry.startswith(f"{name}/")]
            packed.extractall(tmp_path / archive, inside)
        return tmp_path / archive / name

    return unpack


def frames(episode: int, name: str) -> np.ndarray:
    """What was recorded of an episode under this name, (T+1, …)."""
    made = RECORDED["frames_of"](episode, RECORDED["LENGTHS"][episode])
    return np.stack([frame[name] for frame in made])


def require_states(corpus: Corpus, episodes: tuple[int, ...]) -> None:
    assert len(corpus) == len(episodes)
    for episode, trajectory in zip(episodes, corpus, strict=True):
        state, steps = frames(episode, "observation.state"), len(trajectory)
        assert steps in (len(state) - 1, len(state))  # whether the last step is kept
        np.testing.assert_array_equal(trajectory.observations["state"][: len(state)], state)
        np.testing.assert_array_equal(trajectory.actions, frames(episode, "action")[:steps])
        assert trajectory.info.metadata["tasks"] == [("pick", "place")[episode]]


@pytest.mark.parametrize("archive", [NEW, OLD])
def test_numbers_of_every_type(unpacked: Any, archive: str) -> None:
    corpus = brought(unpacked(archive, "numbers"))
    require_states(corpus, (0, 1))
    for episode, trajectory in enumerate(corpus):
        for name in ("pose", "count", "contact"):
            expected = frames(episode, f"observation.{name}")
            found = trajectory.observations[name][: len(expected)]
            np.testing.assert_array_equal(found.reshape(expected.shape), expected)
            assert found.dtype == expected.dtype
        rewards = frames(episode, "next.reward")[: len(trajectory), 0]
        np.testing.assert_array_equal(trajectory.rewards, rewards)
    settings = corpus.manifest.provenance[0].settings
    assert (settings["fps"], settings["robot_type"]) == (10, "so101_follower")
    assert settings["names"]["state"] == RECORDED["STATE"]["names"]
    assert settings["names"]["action"] == RECORDED["ACTION"]["names"]


def test_pictures_and_depths_are_kept_to_the_bit(unpacked: Any) -> None:
    corpus = brought(unpacked(NEW, "pictured"))
    require_states(corpus, (0, 1))
    for episode, trajectory in enumerate(corpus):
        for name in ("wrist", "near"):
            expected = frames(episode, f"observation.images.{name}")
            found = trajectory.observations[name]
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype
        metres = frames(episode, "observation.images.far")
        found = trajectory.observations["far"]
        np.testing.assert_array_equal(found, np.rint(metres * 1000))  # whole millimetres
        assert found.dtype == np.uint16


def test_films_and_depth_films_are_close(unpacked: Any) -> None:
    corpus = brought(unpacked(NEW, "deep"))
    require_states(corpus, (0, 1))
    for episode, trajectory in enumerate(corpus):
        top = frames(episode, "observation.images.top").astype(int)
        assert np.abs(trajectory.observations["top"] - top).mean() < 3
        depth = frames(episode, "observation.images.depth").astype(int)
        found = trajectory.observations["depth"]
        assert found.dtype == np.uint16
        # the recorder spreads 4,096 codes over 10 m, by the logarithm: 1 mm or 2 apart
        assert np.abs(found - depth).max() <= 2


@pytest.mark.parametrize(
    ("name", "episodes"), [("filmed", (0, 1)), ("deleted", (1,)), ("merged", (0, 1, 0, 1))]
)
def test_what_its_tools_make_of_a_set(unpacked: Any, name: str, episodes: tuple) -> None:
    corpus = brought(unpacked(NEW, name))
    require_states(corpus, episodes)
    assert corpus.manifest.provenance[0].settings["fps"] == 20
    for episode, trajectory in zip(episodes, corpus, strict=True):
        top = frames(episode, "observation.images.top").astype(int)
        assert np.abs(trajectory.observations["top"] - top).mean() < 3


def test_sentences_of_annotations_are_kept(unpacked: Any) -> None:
    corpus = brought(unpacked(NEW, "annotated"))
    require_states(corpus, (0, 1))
    notes = {"name": "say", "arguments": {"text": "going on"}}
    for trajectory in corpus:
        rows = trajectory.info.metadata["language"]
        assert [(row["timestamp"], row.get("content")) for row in rows] == [
            (0.0, "reach"),
            (pytest.approx(0.2), "grasp"),
            (pytest.approx(0.1), None),
        ]
        assert rows[0]["style"] == "subtask"
        assert rows[2]["tool_calls"] == [{"type": "function", "function": notes}]


@pytest.mark.parametrize("name", ["filmed", "numbers"])
def test_v2_is_read_as_what_lerobots_converter_makes_of_it(unpacked: Any, name: str) -> None:
    older = brought(unpacked(OLD, name))
    require_states(older, (0, 1))
    newer = brought(unpacked(NEW, "converted" if name == "filmed" else name))
    assert newer.fingerprint == older.fingerprint


def test_v2_0_has_other_statistics_only(unpacked: Any) -> None:
    place = unpacked(OLD, "filmed")
    (place / "meta/episodes_stats.jsonl").unlink()
    edit_info(place, codebase_version="v2.0")
    require_states(brought(place), (0, 1))


@pytest.mark.parametrize("tag", ["v1.6", "v1.0"])
def test_sets_before_v2_name_the_program_that_converts_them(tmp_path: Path, tag: str) -> None:
    place = tmp_path / "old"
    (place / "meta_data").mkdir(parents=True)
    (place / "meta_data/info.json").write_text(json.dumps({"codebase_version": tag, "fps": 10}))
    refused(place, r"before v2\.0; .*lerobot\.datasets\.v2\.convert_dataset_v1_to_v2")


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ("", "has no episodes"),
        ("nonsense", "line 1: is not JSON"),
        ("[]", "line 1: has no sound episode_index"),
        ('{"episode_index": 0, "length": -1}', "line 1: has no sound length"),
        ('{"episode_index": 0, "length": true}', "line 1: has no sound length"),
        ('{"episode_index": 1, "length": 9}', "has episode 1 in the place of 0"),
        ('{"episode_index": 0, "length": 9}', "says total_episodes 2"),
        (
            '{"episode_index": 0, "length": 4}\n{"episode_index": 1, "length": 5}',
            "has frames that meta/episodes does not know of",
        ),
    ],
)
def test_lines_of_episodes_that_are_not_those_of_the_set(
    unpacked: Any, lines: str, match: str
) -> None:
    place = unpacked(OLD, "numbers")
    (place / "meta/episodes.jsonl").write_text(lines)
    refused(place, match)


@pytest.mark.parametrize(
    "changed", [{"chunks_size": 0}, {"chunks_size": "many"}, {"chunks_size": True}]
)
def test_chunks_have_a_size(unpacked: Any, changed: dict[str, Any]) -> None:
    place = unpacked(OLD, "numbers")
    edit_info(place, **changed)
    refused(place, "has chunks_size")
