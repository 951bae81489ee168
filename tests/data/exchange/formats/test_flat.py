from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import CorpusError

from lawm_data.exchange.formats import _flat
from lawm_data.exchange.formats._flat import blocks, marked, same_length, segments


class Rows:
    """An array in memory, read as one of a file is."""

    def __init__(self, array: np.ndarray) -> None:
        self._array, self._at, self.closed = array, 0, False
        self.where, self.shape, self.dtype = "here", array.shape, array.dtype

    def __len__(self) -> int:
        return len(self._array)

    def next(self, count: int) -> np.ndarray:
        self._at += count
        return self._array[self._at - count : self._at]

    def close(self) -> None:
        self.closed = True


@given(st.lists(st.booleans(), max_size=40))
def test_segments_divide_all_rows_at_the_marks(marks: list[bool]) -> None:
    flags = np.array(marks, bool)
    parts = segments(np.flatnonzero(flags), len(flags)).tolist()
    assert [row for first, end in parts for row in range(first, end)] == list(range(len(flags)))
    assert all(end > first for first, end in parts)
    last = [end - 1 for _, end in parts]
    assert set(np.flatnonzero(flags)) <= set(last)
    assert len(last) - int(flags.sum()) == (len(flags) > 0 and not flags[-1])


def test_blocks_are_the_array_and_close_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_flat, "BLOCK", 6)
    rows = Rows(np.arange(22).reshape(11, 2))
    parts = list(blocks(rows))
    assert [len(part) for part in parts] == [3, 3, 3, 2]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(22).reshape(11, 2))
    assert rows.closed
    flags = np.arange(11) % 4 == 1
    assert marked(Rows(flags)).tolist() == np.flatnonzero(flags).tolist()


def test_lengths_agree() -> None:
    assert same_length({"a": Rows(np.zeros(3)), "b": Rows(np.zeros((3, 2)))}) == 3
    with pytest.raises(CorpusError, match="has 2 rows where 3 are due"):
        same_length({"a": Rows(np.zeros(3)), "b": Rows(np.zeros(2))})
