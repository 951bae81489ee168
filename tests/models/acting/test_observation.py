"""However one robot or many are observed, the state is the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError

from lawm_models.acting.observation import read_observation


@given(st.integers(1, 4))
def test_the_axis_of_a_single_number_may_be_left_out(robots: int) -> None:
    """dm_control observes numbers where a corpus has arrays of one."""
    specs = [ArraySpec(name="height", shape=(1,)), ArraySpec(name="position", shape=(2,))]
    position = np.zeros((robots, 2))
    full = read_observation({"height": np.ones((robots, 1)), "position": position}, specs)
    left_out = read_observation({"height": np.ones(robots), "position": position}, specs)
    assert left_out.robots == full.robots == robots
    np.testing.assert_array_equal(left_out.state, full.state)
    one = read_observation({"height": 1.0, "position": position[0]}, specs)
    assert (one.robots, one.state.tolist()) == (0, [[1, 0, 0]])


SPECS = [ArraySpec(name="position", shape=(2,)), ArraySpec(name="arm.angle", shape=())]


@given(st.integers(1, 4), st.integers(0, 99))
def test_names_may_be_nested_and_one_robot_is_a_row_of_the_batch(robots: int, seed: int) -> None:
    draws = np.random.default_rng(seed)
    position, angle = draws.normal(size=(robots, 2)), draws.normal(size=robots)
    flat = read_observation({"position": position, "arm.angle": angle, "camera": None}, SPECS)
    nested = read_observation({"arm": {"angle": angle}, "position": position}, SPECS)
    expected = np.column_stack([position, angle]).astype(np.float32)
    for found in (flat, nested, read_observation(np.column_stack([position, angle]), SPECS)):
        assert found.robots == robots
        assert found.state.dtype == np.float32
        np.testing.assert_array_equal(found.state, expected)
    one = read_observation({"position": position[0], "arm": {"angle": angle[0]}}, SPECS)
    assert one.robots == 0
    np.testing.assert_array_equal(one.state, expected[:1])


def test_robots_do_not_come_and_go() -> None:
    batch = {"position": np.zeros((2, 2)), "arm.angle": np.zeros(2)}
    assert read_observation(batch, SPECS, before=2).robots == 2
    for before in (0, 3):
        with pytest.raises(ConfigError, match=r"is of a batch of 2, after .*call reset\(\)"):
            read_observation(batch, SPECS, before=before)


def test_what_is_missing_is_named_by_its_field() -> None:
    with pytest.raises(ConfigError, match=r"there is no 'arm.angle' among position; give posi"):
        read_observation({"position": np.zeros(2)}, SPECS)
    with pytest.raises(ConfigError, match="field position: is no array of numbers"):
        read_observation({"position": "left", "arm": {"angle": 0.0}}, SPECS)
