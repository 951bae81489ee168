from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lawm_data.batches.gather import SliceReader, WindowReader

ROWS = 3
SIZES = (5, 3, 8)


def shards() -> list[np.ndarray]:
    """Arrays whose numbers say in which shard and row they stand."""
    return [100 * k + np.arange(2 * n).reshape(n, 2) for k, n in enumerate(SIZES)]


@given(
    st.lists(
        st.integers(0, 2).flatmap(lambda k: st.tuples(st.just(k), st.integers(0, SIZES[k] - ROWS))),
        min_size=1,
        max_size=9,
    )
)
def test_windows_are_slices_of_their_shards(places: list[tuple[int, int]]) -> None:
    shard, row = (np.array(column) for column in zip(*places, strict=True))
    expected = np.stack([shards()[k][i : i + ROWS] for k, i in places])
    for reader in (WindowReader(shards(), ROWS), SliceReader(shards(), ROWS)):
        np.testing.assert_array_equal(reader(shard, row), expected)


@given(
    st.lists(
        st.integers(0, 2).flatmap(
            lambda k: st.tuples(
                st.just(k), st.integers(0, SIZES[k] - 1), st.integers(0, SIZES[k] - 1)
            )
        ),
        min_size=1,
        max_size=9,
    )
)
def test_the_last_row_is_repeated(places: list[tuple[int, int, int]]) -> None:
    places = [(k, min(a, b), max(a, b)) for k, a, b in places]
    shard, row, last = (np.array(column) for column in zip(*places, strict=True))
    expected = np.stack([shards()[k][np.minimum(i + np.arange(ROWS), e)] for k, i, e in places])
    for reader in (WindowReader(shards(), ROWS), SliceReader(shards(), ROWS)):
        np.testing.assert_array_equal(reader(shard, row, last), expected)


def test_a_shard_without_the_array_is_never_read() -> None:
    whole = shards()[2]
    reader = WindowReader([None, whole], ROWS)
    np.testing.assert_array_equal(reader(np.array([1]), np.array([4])), whole[None, 4:7])
