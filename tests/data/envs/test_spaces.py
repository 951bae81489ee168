"""Gymnasium spaces as arrays of a corpus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_data.envs.spaces import action_spec, observation_parts, plain_name


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Dict({"a": spaces.Box(-1, 1)})])
def test_spaces_that_are_no_actions_are_refused(space: Any) -> None:
    with pytest.raises(ConfigError, match="action space"):
        action_spec(space, "here")


ROBOT = spaces.Dict(
    {
        "arm": spaces.Tuple((spaces.Box(-1, 1, (2, 2), np.float64), spaces.Discrete(4, start=2))),
        "camera": spaces.Box(0, 255, (9, 8, 3), np.uint8),
        "keys": spaces.MultiDiscrete([2, 5]),
        "lamps": spaces.MultiBinary(3),
        "free": spaces.Box(-np.inf, np.inf, (1,), np.float32),
    }
)


def test_every_part_holds_what_was_sampled() -> None:
    parts = observation_parts(ROBOT, "here")
    specs = {part.spec.name: part.spec for part in parts}
    assert {name: spec.role for name, spec in specs.items() if spec.role is not Role.state} == {
        "camera": Role.pixels
    }
    ROBOT.seed(0)
    for _ in range(20):
        sample = ROBOT.sample()
        for part in parts:
            found, value = part.of(sample), sample
            for key in part.path:
                value = value[key]
            assert (found.shape, found.dtype) == (part.spec.shape, part.spec.dtype)
            assert np.array_equal(found, value)
            bounds = part.spec.bounds()
            if bounds is not None:
                assert (bounds[0] <= found).all()
                assert (found <= bounds[1]).all()
    assert specs["free"].bounds() is None
    assert (specs["arm.1"].low, specs["arm.1"].high) == ((2.0,), (5.0,))


def test_single_precision_is_asked_for() -> None:
    box = spaces.Box(-1, 1, (2,), np.float64)
    for single, dtype in ((False, "float64"), (True, "float32")):
        assert observation_parts(box, "here", single)[0].spec.dtype == dtype
        assert action_spec(box, "here", single).dtype == dtype


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (
            spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)}), "a.b": spaces.Discrete(2)}),
            "a.b, a.b",
        ),
        (spaces.Dict({}), "observes nothing"),
        (spaces.Text(3), "state space is a Text"),
    ],
)
def test_what_cannot_be_kept_is_refused(space: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        observation_parts(space, "here")


@given(st.text())
def test_any_name_becomes_one_of_a_corpus(name: str) -> None:
    assert ArraySpec(name=plain_name(name), shape=(1,)).name
    assert plain_name(plain_name(name)) == plain_name(name)
