"""What the suite's tasks observe and do, as specs."""

from lawm_schemas import ArraySpec, Role

from lawm_data.envs import suites as envs
from lawm_data.envs.suites import _suite


def test_scalars_have_one_element_and_names_are_the_suites() -> None:
    specs = envs.make("walker-walk").observations
    shapes = {spec.name: spec.shape for spec in specs}
    assert shapes == {"orientations": (14,), "height": (1,), "velocity": (9,), "physics": (18,)}


def test_actions_without_bounds_have_none() -> None:
    assert envs.make("lqr-lqr_2_1").action.bounds() is None
    assert envs.make("quadruped-walk").action.high == (1.0, 1.1, 0.8) * 4


def test_pixels_are_a_spec_like_any_other() -> None:
    specs = _suite.observation_specs(_suite.load("walker-walk"), 64)
    expected = ArraySpec(name="pixels", shape=(64, 64, 3), dtype="uint8", role=Role.pixels)
    assert specs[-1] == expected
