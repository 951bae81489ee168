"""The shapes of rewards are dm_control's, and a body goes on from any state."""

import math
from importlib import import_module

import numpy as np
import pytest
from compared import body_of
from hypothesis import given
from hypothesis import strategies as st

from lawm_data.envs.direct import tasks
from lawm_data.envs.direct._body import gaussian_exponent, linear, linears, quadratic, quadratics
from lawm_data.envs.suites import _suite

tolerance = import_module("dm_control.utils.rewards").tolerance
margins = st.floats(0.1, 10)


@given(x=st.floats(-20, 20), margin=margins)
def test_gaussian(x: float, margin: float) -> None:
    wanted = tolerance(x, margin=margin)
    assert math.exp(gaussian_exponent(margin) * x * x) == pytest.approx(wanted)


@given(x=st.floats(-20, 20), low=st.floats(-5, 5), margin=margins, end=st.floats(0, 0.9))
def test_linear(x: float, low: float, margin: float, end: float) -> None:
    bounds = (low, math.inf)
    wanted = tolerance(x, bounds, margin=margin, value_at_margin=end, sigmoid="linear")
    assert linear(x, low, margin, end) == pytest.approx(wanted, abs=1e-9)


@given(x=st.floats(-3, 3))
def test_quadratic(x: float) -> None:
    wanted = tolerance(x, margin=1, value_at_margin=0, sigmoid="quadratic")
    assert quadratic(x) == pytest.approx(wanted)


@given(x=st.lists(st.floats(-20, 20), min_size=1), low=st.floats(-5, 5), margin=margins)
def test_many_numbers_are_shaped_as_one(x: list[float], low: float, margin: float) -> None:
    many = np.array(x)
    assert linears(many, low, margin, 0.5).tolist() == [linear(n, low, margin, 0.5) for n in x]
    assert quadratics(many / 9).tolist() == [quadratic(n / 9) for n in x]


@pytest.mark.parametrize("task", tasks())
def test_a_restored_body_goes_on_as_the_first_did(task: str) -> None:
    suite = _suite.load(task)
    _suite.reset(suite, task, 0)
    first, control, seen = body_of(task, suite)
    again, other, also_seen = body_of(task, suite)
    first.start(suite.physics.data.ptr)
    control[:] = 0.3
    first.advance(3)
    again.restore(np.concatenate([first.data.qpos, first.data.qvel]))
    other[:] = control
    for _ in range(3):
        assert again.advance(1) == pytest.approx(first.advance(1), abs=1e-4)
        first.observe()
        again.observe()
        np.testing.assert_allclose(also_seen, seen, atol=1e-4)
