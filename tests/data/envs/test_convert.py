"""Observations to vectors, and vectors to actions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_data.envs.convert import nearest, not_finite, state_of
from lawm_data.envs.policy import RandomPolicy

FINITE = st.floats(-1e3, 1e3, width=32)


@st.composite
def actions(draw) -> ArraySpec:
    """Actions with bounds, of any type and shape."""
    dtype = draw(st.sampled_from(("float32", "float64", "int8", "int64")))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    size = int(np.prod(shape))
    numbers = FINITE if dtype.startswith("float") else st.integers(-100, 100).map(float)
    ends = draw(st.lists(st.tuples(numbers, numbers), min_size=size, max_size=size))
    low, high = (tuple(f(pair) for pair in ends) for f in (min, max))
    return ArraySpec(name="a", shape=shape, dtype=dtype, role=Role.action, low=low, high=high)


@given(actions(), st.integers(1, 4), st.data())
def test_nearest_is_of_the_environment_and_nothing_is_nearer(spec, robots, data) -> None:
    chosen = data.draw(hnp.arrays(np.float32, (robots, spec.size), elements=FINITE))
    found = nearest(chosen, spec, "here")
    assert (found.shape, found.dtype) == ((robots, *spec.shape), spec.dtype)
    low, high = spec.bounds()
    assert ((low <= found) & (found <= high)).all()
    np.testing.assert_array_equal(nearest(found, spec, "here"), found)
    # any other action within the bounds is as far or farther from what was chosen
    other = nearest(RandomPolicy(spec).act(chosen), spec, "here").astype(np.float64)
    wanted = chosen.astype(np.float64).reshape(found.shape)
    assert (np.abs(found - wanted) <= np.abs(other - wanted) + 1e-6).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bounds_of_float64_are_kept_in_any_type(dtype: str) -> None:
    low, high = (-0.1, -0.3, -1e300), (0.1, 0.7, 1e300)
    spec = ArraySpec(name="a", shape=(3,), dtype=dtype, role=Role.action, low=low, high=high)
    ends = nearest(np.array([[-1, -1, -2], [1, 1, 2]], np.float32), spec, "here")
    assert ends.dtype == dtype
    assert ((ends >= low) & (ends <= high)).all()
    np.testing.assert_allclose(ends, [(-0.1, -0.3, -2), (0.1, 0.7, 2)], rtol=1e-7)


def test_a_half_is_not_pressed() -> None:
    spec = ArraySpec(name="a", shape=(2,), dtype="bool", role=Role.action)
    assert nearest(np.array([[0.4, 0.6]]), spec, "here").tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ([[np.nan, 0.0]], "here: the policy returned an action that is not finite"),
        ([[1.0, 2.0, 3.0]], r"here: actions have shape \(1, 3\), expected \(1, 2\)"),
    ],
)
def test_what_no_environment_takes_is_refused(chosen, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        nearest(np.array(chosen), ArraySpec(name="a", shape=(2,), role=Role.action), "here")


def test_state_is_in_the_order_of_the_specs() -> None:
    specs = [ArraySpec(name="b", shape=(2, 2)), ArraySpec(name="a", shape=(), dtype="int64")]
    state = state_of({"a": np.array([7, 8]), "b": np.arange(8.0).reshape(2, 2, 2)}, specs)
    assert state.tolist() == [[0, 1, 2, 3, 7], [4, 5, 6, 7, 8]]
    assert state.dtype == np.float32
    assert state_of({"a": np.array([7, 8])}, []).shape == (2, 0)


@given(st.data())
def test_what_is_not_finite_is_found_by_field_and_row(data) -> None:
    shapes = data.draw(st.lists(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3), min_size=1))
    specs = [ArraySpec(name=f"f{i}", shape=shape) for i, shape in enumerate(shapes)]
    fields = {spec.name: np.zeros((4, *spec.shape)) for spec in specs}
    assert not_finite(state_of(fields, specs), specs) is None
    places = st.tuples(st.sampled_from(specs), st.integers(0, 3))
    bad = data.draw(st.sets(places.map(lambda p: (p[0].name, p[1])), min_size=1))
    for name, row in bad:
        fields[name].reshape(4, -1)[row, -1] = data.draw(st.sampled_from([np.nan, np.inf, -1e300]))
    found = not_finite(state_of(fields, specs), specs)
    assert found is not None
    assert found.field == min((name for name, _ in bad), key=lambda name: int(name[1:]))
    assert found.rows == tuple(sorted({row for _, row in bad}))
