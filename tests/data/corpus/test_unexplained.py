"""Unexplained variance: by definition, in any unit, and none where nothing varies."""

import numpy as np
import pytest

from lawm_data.corpus.unexplained import r_squared, unexplained


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("mean", [0.0, 0.3, 1000.1])
def test_error_over_variance_where_the_truth_varies(unit: float, mean: float) -> None:
    draws = np.random.default_rng(0)
    truth = np.full((1000, 3), mean)
    truth[:, 0] += draws.normal(size=1000)
    truth[:, 2] += (draws.integers(0, 2, 1000) - 0.5) * 1e-8 * mean  # rounding
    inferred = truth + draws.normal(size=truth.shape) / 2
    first, *others = unexplained(unit * truth, unit * inferred)
    assert first is not None
    assert first == pytest.approx(
        np.square(inferred - truth)[:, 0].mean() / truth[:, 0].var(), rel=1e-6
    )
    assert others == [None, None]
    assert r_squared([first, *others]) == 1 - first
    assert r_squared(others) is None


def test_the_mean_explains_nothing_and_the_truth_all() -> None:
    truth = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    assert unexplained(truth, truth) == (0, 0)
    assert unexplained(truth, truth.mean(0, keepdims=True).repeat(50, 0)) == pytest.approx((1, 1))
    assert unexplained(truth[:1], truth[:1] + 1) == (None, None)
