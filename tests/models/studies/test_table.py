from __future__ import annotations

import pytest
from lawm_schemas import ConfigError
from study_results import PAPER, papers_own, results

from lawm_models.studies.markdown import body, markdown
from lawm_models.studies.table import make_table


def test_the_papers_numbers_make_the_papers_table() -> None:
    table = papers_own()
    assert [c.heading for c in table.columns] == [
        "TD3+BC (oracle)",
        "C-LAP (oracle)",
        "TD3+BC (5%)",
        "C-LAP (5%)",
        "IDM-TD3+BC (5%)",
        "LAWM (5%)",
    ]
    assert table.averages == pytest.approx(PAPER["average"], abs=0.06)
    assert table.reported_averages == pytest.approx(table.averages)
    lines = list(body(table))
    for ours, theirs in zip(lines[0:24:2], lines[1:24:2], strict=True):
        assert [text.strip("*") for text in ours[1:]] == [text.strip("*") for text in theirs[1:]]
    # what the paper prints in bold
    bold = {
        row.corpus: [c.title for c, e in zip(table.columns, row.entries, strict=True) if e.best]
        for row in table.rows
    }
    assert [name for name, best in bold.items() if best == ["LAWM"]] == [
        "cheetah-run-medium-replay",
        "cheetah-run-plan2explore",
        "hopper-stand-medium",
        "hopper-stand-medium-replay",
        "hopper-stand-plan2explore",
        "walker-walk-expert",
        "walker-walk-medium",
        "walker-walk-medium-replay",
        "walker-walk-plan2explore",
    ]
    assert bold["cheetah-run-medium"] == ["IDM-TD3+BC"]


def test_variants_and_other_budgets_are_none_of_the_papers() -> None:
    scores = {("w", name, 0.05): [50.0] for name in ("lawm", "mine")} | {("w", "lawm", 0.1): [60.0]}
    study = {
        "corpora": {"w": {"path": "p", "paper": "walker-walk/medium"}},
        "algorithms": {
            "lawm": {"labels": [0.05, 0.1]},
            "mine": {"algorithm": "lawm", "title": "LAWM with a hat"},
        },
    }
    table = make_table(results(scores, **study))
    assert [c.heading for c in table.columns] == ["LAWM (5%)", "LAWM with a hat (5%)", "LAWM (10%)"]
    reported = [entry.reported for entry in table.rows[0].entries]
    assert reported == [(91.4, 1.1), None, None]


def test_what_is_missing_is_not_summed_up() -> None:
    table = make_table(
        results(
            {
                ("a", "bc", 0.05): [10, 30],
                ("b", "bc", 0.05): [20, None],
                ("a", "lawm", 0.05): [40, 40],
                ("b", "lawm", 0.05): [60, 60],
                ("a", "bc", "all"): [None, None],
                ("b", "bc", "all"): [90, 90],
            }
        )
    )
    assert table.averages == (None, None, 50)
    assert [bool(iqm) for iqm in table.iqms] == [False, False, True]
    text = markdown(table)
    assert "| a | – | 20.0 (10.0, 30.0) | **40.0** (40.0, 40.0) |" in text
    assert "| b | 90.0 (90.0, 90.0) | 20.0 (1 of 2) | **60.0** (60.0, 60.0) |" in text
    assert "| average | – | – | 50.0 |" in text


def test_equal_as_printed_is_equally_good_and_alone_is_nothing_special() -> None:
    table = make_table(
        results({("a", "bc", 0.1): [50.01], ("a", "lawm", 0.1): [50.0], ("a", "bc", 0.2): [70.0]})
    )
    assert [entry.best for entry in table.rows[0].entries] == [True, True, False]


def test_returns_without_a_scale_stay_returns() -> None:
    found = results({("a", "bc", 0.1): [50.0], ("b", "bc", 0.1): [70.0]})
    first, second = found.cells
    assert first.evaluation is not None
    raw = first.evaluation.model_copy(update={"normalized": None})
    cells = (first.model_copy(update={"evaluation": raw}), second)
    table = make_table(found.model_copy(update={"cells": cells}))
    assert "| a (return) | 500.0 |" in markdown(table)
    assert (table.averages, table.iqms) == ((None,), (None,))
    assert table.strata(0) == [(70.0,)]


def test_no_results_no_table() -> None:
    with pytest.raises(ConfigError, match="no run is finished; run the benchmark first"):
        make_table(results({("a", "bc", 0.1): [None]}))


def test_a_mask_by_name_has_the_share_that_it_shows() -> None:
    table = make_table(results({("a", "bc", "mine"): [50.0], ("a", "bc", "all"): [60.0]}))
    assert [(c.heading, c.fraction) for c in table.columns] == [
        ("BC (oracle)", 1.0),
        ("BC (mask mine)", 0.2),
    ]
