"""Cells of a grid, against counting them one by one."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError
from state_coverage import Grid, coverage

GRID = Grid(np.array([-1.0, -2.0, 0.0]), np.array([1.0, 2.0, 3.0]), 4)

trajectories = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 10**6)).map(
        lambda drawn: np.random.default_rng(drawn[1]).uniform(-4, 4, (drawn[0], 3))
    ),
    min_size=1,
    max_size=4,
)


@given(trajectories)
def test_cells_are_counted(states):
    def bin_of(value, d):
        edges = np.linspace(GRID.low[d], GRID.high[d], GRID.bins + 1)[1:-1]
        return int((value >= edges).sum())

    visited = {tuple(bin_of(row[d], d) for d in range(3)) for state in states for row in state}
    planes = {(i, j, c[i], c[j]) for c in visited for i, j in combinations(range(3), 2)}
    found = coverage(states, GRID)
    assert found.cells == len(visited)
    assert found.share == pytest.approx(len(planes) / (3 * 16))


@given(trajectories, trajectories)
def test_more_states_never_cover_less(some, more):
    alone, both = coverage(some, GRID), coverage(some + more, GRID)
    assert alone.share <= both.share <= alone.share + coverage(more, GRID).share
    assert alone.cells <= both.cells <= alone.cells + coverage(more, GRID).cells


@given(trajectories)
def test_order_and_repetition_do_not_matter(states):
    assert coverage([s[::-1] for s in states[::-1]] + states, GRID) == coverage(states, GRID)


def test_everywhere_is_one():
    axes = [np.linspace(GRID.low[d], GRID.high[d], 20) for d in range(3)]
    everywhere = np.stack([a.ravel() for a in np.meshgrid(*axes)], 1)
    assert coverage([everywhere], GRID) == (1.0, 4**3)
    assert coverage([], GRID) == (0.0, 0)


def test_grid_reaches_the_extremes_of_all_corpora(random_corpus):
    corpora = [random_corpus(f"c{seed}", seed=seed) for seed in range(2)]
    grid = Grid.over(corpora, 7)
    states = np.concatenate([t.observations.state for c in corpora for t in c])
    np.testing.assert_array_equal(grid.low, states.min(0))
    np.testing.assert_array_equal(grid.high, states.max(0))
    cells = grid.cells(states)
    assert (cells.min(0) == 0).all()
    assert (cells.max(0) == 6).all()
    swapped = Grid.over(corpora[::-1], 7)
    np.testing.assert_array_equal(swapped.low, grid.low)


def test_constant_dimension_is_one_bin():
    grid = Grid(np.zeros(2), np.array([0.0, 1.0]), 5)
    state = np.stack([np.zeros(50), np.linspace(0, 1, 50)], 1)
    assert coverage([state], grid) == (0.2, 5)


def test_unlike_corpora_are_refused(random_corpus):
    other = (ArraySpec(name="position", shape=(3,)),)
    corpora = [random_corpus("a"), random_corpus("b", observations=other)]
    with pytest.raises(ConfigError, match=r"different observations.*compare like with like"):
        Grid.over(corpora)


@pytest.mark.parametrize("shape", [(2,), ()])
def test_nothing_to_span_a_grid_is_refused(random_corpus, shape):
    observations = (ArraySpec(name="position", shape=shape),)
    corpus = random_corpus(observations=observations)
    with pytest.raises(ConfigError, match="two state dimensions or more"):
        Grid.over([corpus.filter([]) if shape else corpus])
