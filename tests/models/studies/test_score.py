import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lawm_models.studies import score

SCORES = st.lists(st.floats(0, 100), min_size=1, max_size=6)
MANY = st.lists(st.lists(st.floats(0, 100), min_size=3, max_size=6), min_size=1, max_size=4)
STRATA = st.lists(SCORES, min_size=1, max_size=4)


def pooled(strata: list[list[float]]) -> list[float]:
    return [one for part in strata for one in part]


@given(STRATA)
def test_interquartile_mean_is_that_of_all_scores(strata: list[list[float]]) -> None:
    found = score.iqm(strata)
    assert found.value == pytest.approx(scipy.stats.trim_mean(pooled(strata), 0.25))
    if min(map(len, strata)) < 3:  # no interval of two seeds
        assert (found.low, found.high) == (None, None)
        return
    assert found.low is not None
    assert found.high is not None
    low, high = min(map(min, strata)), max(map(max, strata))
    assert low - 1e-9 <= found.low <= found.high <= high + 1e-9


def test_interval_is_the_stratified_bootstrap_of_scipy() -> None:
    draws = np.random.default_rng(0)
    strata = [draws.normal(mean, 10, 12).tolist() for mean in (20, 50, 80)]

    def statistic(*parts: np.ndarray, axis: int) -> np.ndarray:
        return scipy.stats.trim_mean(np.concatenate(parts, axis), 0.25, axis)

    theirs = scipy.stats.bootstrap(
        strata, statistic, method="percentile", n_resamples=5000, rng=1
    ).confidence_interval
    ours = score.iqm(strata)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.6)
    # strata matter: drawn from all scores at once, the interval would be much wider
    mixed = score.iqm([pooled(strata)])
    widths = [found.high - found.low for found in (mixed, ours) if found.high and found.low]
    assert widths[0] > 1.5 * widths[1]


def test_what_has_no_spread_has_a_point_for_an_interval() -> None:
    assert score.iqm([[7.0] * 3, [7.0] * 4]) == (7.0, 7.0, 7.0)


@settings(max_examples=20)
@given(MANY)
def test_profile_falls_from_one_to_nothing(strata: list[list[float]]) -> None:
    threshold = np.linspace(-1, 101, 20)
    found = score.profile(strata, threshold)
    assert (found.share[0], found.share[-1]) == (1, 0)
    assert (np.diff(found.share) <= 0).all()
    assert found.low is not None
    assert found.high is not None
    assert ((found.low <= found.high + 1e-12) & (found.low >= 0) & (found.high <= 1)).all()


def test_the_area_under_a_profile_is_the_mean_score() -> None:
    strata = [[3.0, 50.0], [20.0, 71.0, 99.0]]
    found = score.profile(strata, np.linspace(0, 100, 1001))
    assert (found.low, found.high) == (None, None)  # two seeds have no interval
    area = found.share.mean() * 100
    assert area == pytest.approx(np.mean(pooled(strata)), abs=0.1)


@given(SCORES)
def test_spread(scores: list[float]) -> None:
    found = score.spread(scores)
    assert found.mean == pytest.approx(np.mean(scores))
    assert found.seeds == len(scores)
    if len(scores) < 3:
        assert found.std is found.stderr is None
    else:
        assert found.std == pytest.approx(np.std(scores, ddof=1))
        assert found.stderr == pytest.approx(scipy.stats.sem(scores))
