from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lawm_data.batches.windows import Pool, Runs, spans, split_partial, uniforms, valid_starts

lengths = st.lists(st.integers(1, 12), min_size=1, max_size=8).map(np.array)
windows = st.integers(1, 8)


def starts(runs: Runs) -> set[tuple[int, int]]:
    return {
        (int(trajectory), int(first) + i)
        for trajectory, first, count in zip(runs.trajectory, runs.first, runs.count, strict=True)
        for i in range(count)
    }


@given(lengths, windows)
def test_valid_starts_are_those_whose_window_stays_inside(length, window):
    expected = {
        (i, start)
        for i, steps in enumerate(length)
        for start in range(steps)
        if start + window <= steps
    }
    runs = valid_starts(length, window, "drop")
    assert starts(runs) == expected
    assert runs.count.sum() == len(expected)


@given(lengths, windows)
def test_padding_adds_the_first_step_of_short_trajectories_and_nothing_else(length, window):
    added = starts(valid_starts(length, window, "pad")) - starts(
        valid_starts(length, window, "drop")
    )
    assert added == {(i, 0) for i, steps in enumerate(length) if steps < window}


@given(st.lists(st.tuples(st.integers(-5, 50), st.integers(0, 6)), max_size=6))
def test_spans_join_ranges(ranges):
    first = np.array([a for a, _ in ranges], np.int64)
    count = np.array([n for _, n in ranges], np.int64)
    assert spans(first, count).tolist() == [a + i for a, n in ranges for i in range(n)]


@given(
    st.lists(st.lists(st.booleans(), min_size=4, max_size=12), max_size=5),
    st.integers(1, 4),
)
def test_windows_of_partial_trajectories_are_labeled_by_their_own_steps(flags, window):
    length = np.array([len(f) for f in flags], np.int64)
    runs = valid_starts(length, window, "drop")
    observed = np.array([f for flag in flags for f in flag], bool)
    full, rest = split_partial(runs, length, observed, window)
    expected = {(i, s) for i, s in starts(runs) if all(flags[i][s : s + window])}
    assert starts(full) == expected
    assert starts(rest) == starts(runs) - expected
    assert full.count.sum() + rest.count.sum() == runs.count.sum()


def test_joined_runs_are_in_the_order_of_trajectories():
    one = Runs(np.array([0, 3]), np.array([0, 4]), np.array([2, 1]))
    other = Runs(np.array([1, 3]), np.array([5, 0]), np.array([1, 2]))
    joined = one.join(other)
    assert joined.trajectory.tolist() == [0, 1, 3, 3]
    assert joined.first.tolist() == [0, 5, 0, 4]
    assert starts(joined) == starts(one) | starts(other)


@given(lengths, windows, st.integers(0, 2**32))
def test_every_draw_is_a_valid_start(length, window, key):
    runs = valid_starts(length, window, "pad")
    pool = Pool(runs, np.zeros(len(runs.count), int), np.ones(1))
    trajectory, start = pool.draw(uniforms(key, 0, 0, (200, 2)))
    assert set(zip(trajectory.tolist(), start.tolist(), strict=True)) <= starts(runs)


def test_draws_are_uniform_over_starts():
    length = np.array([3, 40, 7, 1, 12, 5])
    runs = valid_starts(length, 5, "pad")
    pool = Pool(runs, np.zeros(len(runs.count), int), np.ones(1))
    draws = 100_000
    trajectory, start = pool.draw(uniforms(7, 0, 0, (draws, 2)))
    counts = np.unique(np.stack([trajectory, start]), axis=1, return_counts=True)[1]
    assert len(counts) == len(pool) == len(starts(runs))
    expected = draws / len(pool)
    # The 99.9% quantile of chi-square with k degrees of freedom (Wilson and Hilferty 1931).
    k = len(pool) - 1
    limit = k * (1 - 2 / (9 * k) + 3.09 * np.sqrt(2 / (9 * k))) ** 3
    assert ((counts - expected) ** 2 / expected).sum() < limit


@given(lengths, windows, st.integers(0, 2**32))
def test_beyond_the_ends_is_moved_inside(length, window, key):
    runs = valid_starts(length, window, "pad")
    pool = Pool(runs, np.zeros(len(runs.count), int), np.ones(1), beyond=window - 1)
    assert len(pool) == len(starts(runs))
    trajectory, start = pool.draw(uniforms(key, 0, 0, (200, 2)))
    assert set(zip(trajectory.tolist(), start.tolist(), strict=True)) <= starts(runs)
    every = (np.arange(pool.counts[0]) + 0.5) / pool.counts[0]
    drawn = list(zip(*(part.tolist() for part in pool.draw(every[:, None])), strict=True))
    for trajectory, first, count in zip(runs.trajectory, runs.first, runs.count, strict=True):
        ends = [(trajectory, first), (trajectory, first + count - 1)]
        extra = {end: (window - 1) * ends.count(end) for end in ends}
        for end, more in extra.items():
            assert drawn.count(end) == 1 + more


def test_steps_at_the_ends_are_seen_as_often_as_others():
    length, window = np.array([60]), 8
    runs = valid_starts(length, window, "drop")
    seen = {}
    for beyond in (0, window - 1):
        pool = Pool(runs, np.zeros(1, int), np.ones(1), beyond)
        every = (np.arange(pool.counts[0]) + 0.5) / pool.counts[0]
        start = pool.draw(every[:, None])[1]
        steps = (start[:, None] + np.arange(window)).ravel()
        seen[beyond] = np.bincount(steps, minlength=60)
    assert seen[0][0] * window == seen[0][30]
    assert seen[window - 1][0] == seen[window - 1][59] == seen[window - 1][30] == window


def test_corpora_are_drawn_by_weight_and_not_by_size():
    runs = valid_starts(np.array([1000, 10, 10]), 5, "drop")
    pool = Pool(runs, np.array([0, 1, 2]), np.array([1.0, 2.0, 5.0]))
    trajectory, _ = pool.draw(uniforms(3, 0, 0, (80_000, 2)))
    share = np.bincount(trajectory, minlength=3) / 80_000
    # Five standard deviations of a share are below 0.01.
    np.testing.assert_allclose(share, [1 / 8, 2 / 8, 5 / 8], atol=0.01)


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_corpus_without_starts_leaves_its_weight_to_the_others(empty):
    length = np.array([10, 10, 10])
    length[empty] = 2
    runs = valid_starts(length, 5, "drop")
    pool = Pool(runs, runs.trajectory, np.array([1.0, 1.0, 1.0]))
    trajectory, _ = pool.draw(uniforms(3, 0, 0, (40_000, 2)))
    share = np.bincount(trajectory, minlength=3) / 40_000
    assert share[empty] == 0
    np.testing.assert_allclose(np.delete(share, empty), 0.5, atol=0.02)


def test_the_largest_uniform_draws_the_last_start():
    runs = valid_starts(np.array([10, 7]), 5, "drop")
    pool = Pool(runs, np.array([0, 1]), np.array([1 / 3, 1e-9]))
    trajectory, start = pool.draw(np.array([[1 - 2.0**-53, 1 - 2.0**-53], [0.0, 0.0]]))
    assert trajectory.tolist() == [1, 0]
    assert start.tolist() == [2, 0]


def test_uniforms_are_a_function_of_key_pool_and_block():
    one = uniforms(5, 1, 2, (3, 4))
    np.testing.assert_array_equal(one, uniforms(5, 1, 2, (3, 4)))
    others = [uniforms(6, 1, 2, (3, 4)), uniforms(5, 0, 2, (3, 4)), uniforms(5, 1, 3, (3, 4))]
    assert not any(np.isin(one, other).any() for other in others)
    assert one.min() >= 0
    assert one.max() < 1


def test_streams_of_neighbouring_blocks_do_not_overlap():
    one, next_one = uniforms(5, 0, 0, (50_000,)), uniforms(5, 0, 1, (50_000,))
    assert len(np.intersect1d(one, next_one)) == 0
