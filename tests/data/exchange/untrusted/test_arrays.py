from __future__ import annotations

import numpy as np
import pytest
from lawm_schemas import CorpusError, Role

from lawm_data.exchange.untrusted.arrays import (
    action_bounds,
    column,
    first_difference,
    flags,
    natural,
    observation_spec,
    plain_dtype,
    require_finite,
    to_plain,
    whole_images,
)


@pytest.mark.parametrize(
    ("stored", "plain"),
    [("f2", "f4"), (">f8", "f8"), ("u2", "u2"), (">u4", "i8"), ("i1", "i1"), ("?", "?")],
)
def test_a_plain_type_holds_every_number(stored: str, plain: str) -> None:
    assert plain_dtype(np.dtype(stored), "here") == np.dtype(plain)
    array = np.array([0, 1], stored)
    same = to_plain(array, plain_dtype(array.dtype, "here"))
    assert same.dtype.isnative
    assert (same == array).all()


@pytest.mark.parametrize("stored", ["O", "S3", "U3", "c8", "u8", "m8[s]", [("a", "f4")]])
def test_other_types_are_refused(stored: object) -> None:
    with pytest.raises(CorpusError, match="not numbers"):
        plain_dtype(np.dtype(stored), "here")


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_whole_numbers_in_the_shape_of_an_image_are_one(dtype: str) -> None:
    numbers, floats = np.dtype(dtype), np.dtype("f4")
    stack_of_frames, powderworld = (84, 84, 9), (32, 32, 6)
    for shape in ((8, 9, 3), (8, 9, 1), stack_of_frames, powderworld):
        assert observation_spec("a", shape, numbers, "here").role is Role.pixels
    assert observation_spec("a", (8, 9, 3), floats, "here").role is Role.state
    for shape in ((3, 8, 9), (9, 84, 84), (7, 9, 3), (8, 9), (8,)):
        assert observation_spec("a", shape, numbers, "here").role is Role.state


def test_bounds_are_believed_only_where_the_numbers_agree() -> None:
    inside, outside = np.array([[-1.0, 0.5]]), np.array([[0.0, 1.5]])
    assert action_bounds([inside, inside], 2) == {"low": (-1.0,) * 2, "high": (1.0,) * 2}
    assert action_bounds([inside, outside], 2) == {}
    assert action_bounds([inside.astype(int)], 2) == {}
    assert action_bounds([], 2) == {}


def test_one_number_a_row() -> None:
    assert column(np.ones((3, 1)), "here").shape == (3,)
    with pytest.raises(CorpusError, match="not one number a row"):
        column(np.ones((3, 2)), "here")
    assert flags(np.array([0.0, 1.0]), "here").tolist() == [False, True]
    with pytest.raises(CorpusError, match="other than 0 and 1"):
        flags(np.array([0, 2]), "here")


def test_a_number_that_is_not_finite_is_named_by_its_row() -> None:
    array = np.zeros((4, 2))
    assert require_finite(array, "here") is array
    array[2, 1] = np.nan
    with pytest.raises(CorpusError, match="row 12 holds a number that is not finite"):
        require_finite(array, "here", first_row=10)


def test_the_first_row_that_differs() -> None:
    one = np.zeros((4, 2))
    assert first_difference(one, one.copy()) is None
    other = one.copy()
    other[2:] = 1
    assert first_difference(one, other) == 2


def test_images_stored_as_floats_come_back_or_are_refused() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(whole_images(image.astype(np.float32), "here"), image)
    for wrong in (image + 0.5, image - 1.0, image * 30.0, image * np.nan):
        with pytest.raises(CorpusError, match="store it as uint8"):
            whole_images(wrong, "here")


def test_numbers_in_names_are_sorted_by_size() -> None:
    names = ["take 10", "Take 2", "take 1", "2", "10", "b", "A"]
    assert sorted(names, key=natural) == ["2", "10", "A", "b", "take 1", "Take 2", "take 10"]


def test_one_number_is_no_column() -> None:
    for array in (np.array(1.0), np.zeros((2, 2))):
        with pytest.raises(CorpusError, match="not one number a row"):
            column(array, "here")
    with pytest.raises(CorpusError, match="not finite"):
        require_finite(np.array(np.nan), "here")
