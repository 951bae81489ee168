"""Charts: what they count, and what they do not draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_corpora import corpus_with

from lawm_data.inspection.report import charts
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


@pytest.mark.parametrize("unrewarded", [(), (1, 2), (0, 1, 2, 3, 4, 5, 6)])
def test_only_recorded_returns_are_drawn(tmp_path: Path, unrewarded: tuple) -> None:
    view = corpus_with(tmp_path / "c", unrewarded=unrewarded)
    (spec,) = charts.returns(view).values()
    assert sum(bar["count"] for bar in spec["data"]["values"]) == 8 - len(unrewarded)
    points = charts.order(view[::-1])["layer"][0]["data"]["values"]
    assert [point["place"] for point in points] == [i for i in range(8) if i not in unrewarded]
    for point in points:  # the place is where the corpus has it
        assert view[point["place"]].info.id == point["id"]


def test_without_rewards_nothing_is_drawn(tmp_path: Path) -> None:
    assert charts.returns(corpus_with(tmp_path / "c", unrewarded=range(8))) == {}


@given(st.sampled_from([4, 8]), st.integers(0, 100), st.integers(1, 10**6))
def test_counts_have_whole_ticks(most: int, low: int, span: int) -> None:
    ticks = charts._whole(low, low + span, most)["values"]
    assert all(isinstance(tick, int) for tick in ticks)
    assert low <= ticks[0] <= ticks[-1] <= low + span
    assert 1 <= len(ticks) <= most + 1
    assert len(set(np.diff(ticks))) <= 1
    assert low or len(ticks) > 1
