"""Paired differences and their sign-flip test."""

from pathlib import Path

import numpy as np
import pytest
from differences import difference, scores, sign_flip
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import Results
from scipy.stats import permutation_test

CLAIM = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "claim.json"

values = st.lists(st.integers(-1000, 1000).map(lambda n: n / 8), min_size=1, max_size=8)


@given(values.filter(lambda drawn: len(drawn) > 1))
def test_p_is_that_of_scipy(drawn):
    def statistic(x, axis):
        return np.mean(x, axis=axis)

    expected = permutation_test(
        (np.array(drawn),), statistic, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(np.array(drawn)) == pytest.approx(expected.pvalue)


@given(values)
def test_p_knows_no_sign_and_is_least_when_all_pairs_agree(drawn):
    found = np.array(drawn)
    assert sign_flip(found) == sign_flip(-found)
    assert sign_flip(np.abs(found) + 1) == pytest.approx(2.0 ** (1 - len(found)))


def test_pairs_are_runs_of_one_corpus_and_seed():
    results = Results.read_json(CLAIM)
    found = difference(results, "lawm_plus", "clap", "0.05")
    back = difference(results, "clap", "lawm_plus", "0.05")
    assert found.pairs == 15
    assert (found.mean, found.p) == pytest.approx((-back.mean, back.p))
    assert found.mean == pytest.approx(np.mean(list(found.by_corpus.values())))
    plus, clap = (scores(results, name, "0.05") for name in ("lawm_plus", "clap"))
    assert found.ahead == sum(plus[key] > clap[key] for key in plus)
