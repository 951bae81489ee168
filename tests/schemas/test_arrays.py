from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, Role

SHAPES = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@given(SHAPES)
def test_size_is_the_product_of_the_shape(shape: tuple[int, ...]) -> None:
    assert ArraySpec(name="x", shape=shape).size == prod(shape) == np.zeros(shape).size


@given(SHAPES)
def test_bounds_have_the_shape_of_a_step(shape: tuple[int, ...]) -> None:
    numbers = tuple(float(i) for i in range(prod(shape)))
    bounds = ArraySpec(name="x", shape=shape, low=numbers, high=numbers).bounds()
    assert bounds is not None
    assert bounds[0].shape == bounds[1].shape == shape
    assert bounds[0].ravel().tolist() == list(numbers)


def test_one_bound_is_no_bound() -> None:
    assert ArraySpec(name="x", shape=(1,), low=(0.0,)).bounds() is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "not a plain name"),
        ({"name": "../x"}, "not a plain name"),
        ({"name": ".x"}, "starts with a dot"),
        ({"name": "x" * 101}, "not a plain name"),
        ({"dtype": "object"}, "is not one of"),
        ({"shape": (2, 0)}, "empty axis"),
        ({"shape": (1,) * 32}, "32 axes are more than 31"),
        ({"shape": (2**20, 2**11)}, "2147483648 elements are more than fit in a step"),
        ({"low": (0.0, 0.0, 0.0)}, "3 bounds for 2 elements"),
        ({"low": (0.0, float("nan"))}, "finite"),
        ({"role": "pixels"}, "pixels are uint8"),
        ({"role": "pixels", "dtype": "uint8"}, "pixels are uint8"),
    ],
)
def test_impossible_specs_are_refused(change: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ArraySpec.parse({"name": "x", "shape": (2,), **change}, "spec")


def test_pixels() -> None:
    spec = ArraySpec(name="camera", shape=(8, 8, 3), dtype="uint8", role=Role.pixels)
    assert spec.size == 192
