"""What a study compares is named once, and short forms mean what the long ones mean."""

import pytest
from documents import require_refused, require_round_trip
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import Study

STUDY = {"corpora": {"cs": "corpora/cs"}, "algorithms": {"bc": None}}


def test_short_forms_are_the_long_ones() -> None:
    short = require_round_trip(Study, {**STUDY, "labels": [1, 0.05]})
    long = {"corpora": {"cs": {"path": "corpora/cs"}}, "algorithms": {"bc": {}}}
    assert short == Study.parse({**long, "labels": ["all", 0.05]}, "")


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_an_algorithm_has_its_own_budgets_or_those_of_the_study(fraction: float) -> None:
    algorithms = {"bc": None, "oracle": {"labels": ["all"]}}
    study = Study.parse({**STUDY, "algorithms": algorithms, "labels": [fraction]}, "")
    assert study.labels_of("bc") == (fraction,)
    assert study.labels_of("oracle") == ("all",)


def test_an_algorithm_has_its_own_corpora_or_all() -> None:
    algorithms = {"bc": None, "some": {"corpora": ["c", "a"]}}
    study = Study.parse({"corpora": {"a": "x", "b": "y", "c": "z"}, "algorithms": algorithms}, "")
    assert study.corpora_of("bc") == ("a", "b", "c")
    assert study.corpora_of("some") == ("a", "c")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"corpora": {}}, "corpora"),
        ({"corpora": {"a/b": "c"}}, "corpora"),
        ({"algorithms": {}}, "algorithms"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": [1, 1]}, "seeds has a value twice: 1"),
        ({"labels": [1, "all"]}, "labels has a value twice: all"),
        ({"algorithms": {"bc": {"labels": [0.1, 0.1]}}}, r"algorithms\.bc\.labels has a value"),
        ({"algorithms": {"bc": {"corpora": ["cs", "x"]}}}, "no corpus 'x'; there are cs"),
        ({"algorithms": {"bc": {"corpora": ["cs", "cs"]}}}, r"bc\.corpora has a value twice: cs"),
        ({"algorithms": {"bc": {"corpora": []}}}, r"bc\.corpora"),
        ({"algorithms": {"bc": {"relabeled_by": "x"}}}, "no algorithm 'x'; there are bc"),
        ({"algorithms": {"bc": {"relabeled_by": "bc"}}}, "bc is told inferred actions itself"),
        (
            {"algorithms": {"bc": {"relabeled_by": "l", "labels": [0.3]}, "l": {"labels": [0.2]}}},
            r"bc\.relabeled_by: l is not run on labels 0\.3",
        ),
        ({"labels": [0]}, r"the fraction 0 is not in \(0, 1\]"),
        ({"labels": [1.5]}, r"the fraction 1\.5 is not in \(0, 1\]"),
        ({"labels": [True]}, "True is no fraction such as 0.05"),
        ({"labels": ["../m"]}, "is no fraction such as 0.05"),
    ],
)
def test_bad_studies_are_refused(change: dict, words: str) -> None:
    require_refused(Study, STUDY, change, words)
