"""Spaces and the arrays that they become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from lawm_schemas import ConfigError, CorpusError, Role
from minari_sets import BOX, create, episode, imported, rewrite


def test_spaces_become_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 40, 48, 3), dtype=np.uint8)
    space = spaces.Dict(
        {
            "hand": spaces.Tuple((spaces.Box(-1, 1, (2, 2), np.float64), spaces.Discrete(4))),
            "camera": spaces.Box(0, 255, (40, 48, 3), np.uint8),
            "first": spaces.Box(0, 255, (3, 40, 48), np.uint8),
            "buttons": spaces.MultiBinary(3),
            "words here": spaces.Box(0, 9, (1,), np.uint16),
            "text": spaces.Text(5),
        }
    )
    arm = rng.uniform(-1, 1, (6, 2, 2))
    observations = {
        "hand": (arm, np.arange(6) % 4),
        "camera": images,
        "first": np.moveaxis(images, -1, 1),
        "buttons": rng.integers(0, 2, (6, 3), dtype=np.int8),
        "words here": np.arange(6, dtype=np.uint16)[:, None],
        "text": ["a"] * 6,
    }
    action = spaces.Dict({"turn": spaces.Box(-2, 2, (2,)), "grip": spaces.Discrete(3, start=1)})
    turn, grip = rng.uniform(-2, 2, (5, 2)).astype(np.float32), np.array([1, 2, 3, 1, 2])
    given = episode(observations=observations, actions={"turn": turn, "grip": grip})
    create(given, observation_space=space, action_space=action)
    corpus = imported(tmp_path)
    specs = {spec.name: spec for spec in corpus.manifest.observations}
    assert sorted(specs) == ["buttons", "camera", "first", "hand.0", "hand.1", "words_here"]
    assert (specs["hand.0"].shape, specs["hand.0"].dtype) == ((2, 2), "float64")
    assert (specs["hand.1"].shape, specs["hand.1"].high) == ((), (3.0,))
    assert specs["camera"].role is specs["first"].role is Role.pixels
    assert specs["words_here"].dtype == "uint16"
    one = corpus[0]
    assert np.array_equal(one.observations["hand.0"], arm)
    assert np.array_equal(one.observations["camera"], images)
    assert np.array_equal(one.observations["first"], images)
    assert corpus.manifest.action.dtype == "float64"
    assert corpus.manifest.action.low == (1.0, -2.0, -2.0)
    assert np.array_equal(one.actions, np.concatenate([grip[:, None], turn], 1))
    notes = " ".join(corpus.manifest.lineage[-1].settings["converted"])
    for words in ("Text", "the action joins grip, turn", "first[3, 40, 48] became images"):
        assert words in notes


@pytest.mark.parametrize(
    ("space", "actions", "spec"),
    [
        (spaces.Discrete(3, start=-1), np.array([-1, 0, 1, 1, 0]), ("int64", (), (-1.0,))),
        (spaces.MultiDiscrete([2, 5]), np.array([[0, 4]] * 5), ("int64", (2,), (0.0, 0.0))),
        (spaces.MultiBinary(2), np.array([[0, 1]] * 5, np.int8), ("int8", (2,), (0.0, 0.0))),
        (
            spaces.Box(-np.inf, 1, (1,)),
            -np.eye(5, 1, dtype=np.float32),
            ("float32", (1,), None),
        ),
        (spaces.Box(0, 1, (2,), bool), np.eye(5, 2, dtype=bool), ("bool", (2,), (0.0, 0.0))),
    ],
    ids=["discrete", "several", "switches", "half bounded", "bools"],
)
def test_action_spaces(space: Any, actions: np.ndarray, spec: tuple, tmp_path: Path) -> None:
    create(episode(actions=actions), action_space=space)
    corpus = imported(tmp_path)
    action = corpus.manifest.action
    assert (action.dtype, action.shape, action.low) == spec
    assert np.array_equal(corpus[0].actions, actions)


def test_a_box_of_bools_is_an_array_of_bools(tmp_path: Path) -> None:
    flags = np.eye(6, 3, dtype=bool)
    create(episode(observations=flags), observation_space=spaces.Box(0, 1, (3,), bool))
    corpus = imported(tmp_path)
    (spec,) = corpus.manifest.observations
    assert (spec.dtype, spec.shape) == ("bool", (3,))
    assert np.array_equal(corpus[0].observations["observation"], flags)


UNREADABLE: dict[str, tuple[dict[str, Any], str]] = {
    "a type of no corpus": ({"dtype": "uint64"}, "has type uint64"),
    "no type": ({"dtype": "object"}, "is a damaged Box"),
    "bounds of another shape": ({"low": [0, 0]}, "is a damaged Box"),
    "an empty axis": ({"shape": [0]}, "is a damaged Box"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_space_that_cannot_be_read_never_costs_the_dataset(
    kind: str, root: Path, tmp_path: Path
) -> None:
    changed, words = UNREADABLE[kind]
    space = spaces.Dict({"hand": spaces.Box(-1, 1, (3,)), "words": spaces.Text(5)})
    hand = np.ones((6, 3), np.float32)
    create(episode(observations={"hand": hand, "words": ["a"] * 6}), observation_space=space)

    def add(metadata: dict[str, Any]) -> None:
        told = json.loads(metadata["observation_space"])
        told["subspaces"]["odd"] = {**BOX, **changed}
        metadata["observation_space"] = json.dumps(told)

    rewrite(root, add)
    mend = "or leave it out with --without odd"
    with pytest.raises(CorpusError, match=f"observations/odd: {words}.*{mend}"):
        imported(tmp_path)
    notes = imported(tmp_path, without="odd").manifest.lineage[-1].settings["converted"]
    assert notes == ["observations/words is a Text, not numbers, and was left out", "left out: odd"]
    for without, message in (("nose", "no array 'nose'"), ("odd,hand,words", "leaves nothing")):
        with pytest.raises(ConfigError, match=message):
            imported(tmp_path / "more", without=without)
    with pytest.raises(CorpusError, match="holds no array of numbers"):
        imported(tmp_path / "more", without="odd,hand")


def test_an_action_space_that_cannot_be_read_is_named(root: Path, tmp_path: Path) -> None:
    create(episode())
    odd = json.dumps({**BOX, "dtype": "uint64"})
    rewrite(root, lambda metadata: metadata.update(action_space=odd))
    with pytest.raises(CorpusError, match="action_space: actions: has type uint64"):
        imported(tmp_path)
