"""Histograms."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lawm_data.inspection.report.charts import BINS, histograms, nice_edges


@given(
    st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 2), min_size=1, max_size=50), st.integers(1, 50)
)
def test_histograms_count_every_row_where_it_lies(rows: list, cut: int) -> None:
    data = np.array(rows)
    low, high = data.min(0), data.max(0)
    found = histograms(lambda: [data[:cut], data[cut:]], low, high)
    for column, (edges, counts) in zip(data.T, found, strict=True):
        assert counts.sum() == len(data)
        assert len(edges) == len(counts) + 1 == BINS + 1
        assert edges[0] <= column.min()
        assert edges[-1] >= column.max() - 1e-9
        # a value on an edge may count on either side of it
        below = np.concatenate([[0], counts.cumsum()])
        for edge, count in zip(edges, below, strict=True):
            assert (column < edge - 1e-6).sum() <= count <= (column < edge + 1e-6).sum()


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(5, 60))
def test_nice_edges_cover_the_range(low: float, span: float, most: int) -> None:
    edges = nice_edges(low, low + span, most)
    assert 2 <= len(edges) <= most + 2
    assert edges[0] <= low + 1e-6 * abs(low) + 1e-300
    assert edges[-1] >= low + span
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0], rtol=1e-3)
