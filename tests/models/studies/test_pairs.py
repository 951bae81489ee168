"""Paired differences and their sign-flip test."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError, Results
from scipy.stats import permutation_test
from study_results import results, unscaled

from lawm_models.studies import pairs
from lawm_models.studies.pairs import difference, differences, sign_flip

CLAIM = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "claim.json"

values = st.lists(st.integers(-1000, 1000).map(lambda n: n / 8), min_size=1, max_size=8)


@settings(max_examples=30)
@given(values)
def test_p_is_that_of_all_patterns(drawn: list[float]) -> None:
    patterns = itertools.product((1, -1), repeat=len(drawn))
    sums = [abs(sum(s * d for s, d in zip(signs, drawn, strict=True))) for signs in patterns]
    assert sign_flip(drawn) == np.mean([one >= abs(sum(drawn)) for one in sums])


@given(values.filter(lambda drawn: len(drawn) > 1))
def test_p_is_that_of_scipy(drawn: list[float]) -> None:
    def statistic(x: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(x, axis=axis)

    expected = permutation_test(
        (np.array(drawn),), statistic, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(drawn) == pytest.approx(expected.pvalue)


@settings(max_examples=20)
@given(values, st.sampled_from([1, 5]))
def test_p_knows_no_sign_and_is_least_when_all_pairs_agree(drawn: list[float], times: int) -> None:
    many = drawn * times  # of more than 16 patterns are drawn
    assert sign_flip(many) == sign_flip([-one for one in many])
    least = sign_flip([abs(one) + 1 for one in drawn])
    assert least == pytest.approx(2.0 ** (1 - len(drawn)))


def test_drawn_patterns_are_about_as_good_as_all(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(0)
    each = [draws.normal(mean, 1, 12).tolist() for mean in (0.2, 0.5, 2.0)]
    exact = [sign_flip(one) for one in each]
    monkeypatch.setattr(pairs, "MOST_PATTERNS", 1 << 11)
    drawn = [sign_flip(one) for one in each]
    assert drawn == pytest.approx(exact, abs=0.04)
    assert drawn != exact
    assert min(drawn) > 0
    assert drawn == [sign_flip(one) for one in each]


def test_pairs_are_runs_of_one_corpus_and_seed() -> None:
    found = Results.read_json(CLAIM)
    one = difference(found, "lawm_plus", "clap", 0.05)
    back = difference(found, "clap", "lawm_plus", 0.05)
    assert len(one.pairs) == 15
    assert (one.mean, one.p) == pytest.approx((-back.mean, back.p))
    assert one.mean == pytest.approx(np.mean(list(one.by_corpus.values())))
    assert one.ahead + back.ahead == 15
    assert {(c.corpus, c.seed) for c in found.cells} == {(p.corpus, p.seed) for p in one.pairs}


def test_only_what_both_have_is_compared() -> None:
    found = results(
        {
            ("a", "bc", 0.1): [10, None, 30],
            ("a", "lawm", 0.1): [20, 50, 10],
            ("b", "lawm", 0.1): [1, 2, 3],
            ("a", "lawm", "all"): [4, 5, 6],
        }
    )
    (one,) = differences(found, "bc")
    assert (one.algorithm, one.labels) == ("lawm", 0.1)
    assert one.pairs == (("a", 0, 10), ("a", 2, -20))
    assert (one.mean, one.ahead, one.by_corpus) == (-5, 1, {"a": -5})


def test_what_cannot_be_compared_is_refused() -> None:
    found = results({("a", "bc", 0.1): [10, None], ("a", "lawm", 0.1): [None, 20]})
    with pytest.raises(ConfigError, match="no algorithm 'ppo'; name bc or lawm"):
        differences(found, "ppo")
    with pytest.raises(ConfigError, match="no corpus and seed with finished runs of bc and of ano"):
        differences(found, "bc")


def test_returns_without_a_scale_in_common_are_not_compared() -> None:
    """Which has nothing to do with what is finished."""
    found = results({(corpus, name, 0.1): [10] for corpus in "ab" for name in ("bc", "lawm")})
    found = unscaled(found, "a", "b")
    said = "returns of bc and of another algorithm are of several corpora without a scale"
    with pytest.raises(ConfigError, match=said):
        differences(found, "bc")
    with pytest.raises(ConfigError, match="returns of both bc and lawm are of several corpora"):
        difference(found, "bc", "lawm", 0.1)
