from __future__ import annotations

import csv
import io
import re

import pytest
from study_results import papers_own, results, unscaled

from lawm_models.studies.markdown import COLUMNS, comma_separated, markdown
from lawm_models.studies.table import make_table


def test_many_columns_become_several_tables() -> None:
    scores = {("a", name, n / 10): [50.0] for n in (1, 2, 3) for name in ("bc", "lawm", "x")}
    text = markdown(make_table(results(scores)))
    heads = re.findall(r"^\| corpus \| (.*) \|$", text, re.M)
    assert heads == [f"BC ({p}%) | LAWM ({p}%) | x ({p}%)" for p in (10, 20, 30)]


def test_very_many_columns_become_rows() -> None:
    names = [f"v{n}" for n in range(12)]
    scores = {("a", name, 0.1): [float(n)] for n, name in enumerate(names)}
    lines = markdown(make_table(results(scores))).splitlines()
    assert lines[:2] == ["| algorithm | a | interquartile mean |", "| --- | --: | --: |"]
    found = re.findall(r"^\| (v\d+) \(10%\) \| \**([\d.]+)\** \| ", "\n".join(lines), re.M)
    assert found == [(name, f"{n}.0") for n, name in enumerate(names)]


def test_csv_holds_every_number() -> None:
    table = papers_own()
    lines = list(csv.DictReader(io.StringIO(comma_separated(table))))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == 6 * (12 + 2)
    for line in lines:
        if line["corpus"].startswith("("):
            continue
        assert float(line["mean"]) == pytest.approx(float(line["paper_mean"]))
        assert float(line["std"]) == pytest.approx(float(line["paper_std"]))


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_only_three_seeds_or_more_have_a_spread_and_an_interval(seeds: int) -> None:
    each = [10.0, 30.0, 50.0][:seeds]
    scores = {("a", "bc", 0.1): each, ("b", "bc", 0.1): each}
    table = make_table(results(scores))
    text = markdown(table)
    shown = {1: "| a | 10.0 |", 2: "| a | 20.0 (10.0, 30.0) |", 3: "| a | 30.0 ± 20.0 |"}
    assert shown[seeds] in text
    assert ("±" in text) == ("[" in text) == (seeds == 3)
    assert make_table(results({("a", "bc", 0.1): [1.0, 2.0, None]})).rows[0].entries[0].spread
    few = markdown(make_table(results({("a", "bc", 0.1): [1.0, 2.0, None]})))
    assert "| a | 1.5 (1.0, 2.0; 2 of 3) |" in few


def test_two_seeds_have_no_spread_in_any_file() -> None:
    for seeds in (2, 3):
        text = comma_separated(make_table(results({("a", "bc", 0.1): [1.0, 3.0, 5.0][:seeds]})))
        line = next(csv.DictReader(io.StringIO(text)))
        assert bool(line["std"]) == bool(line["stderr"]) == (seeds == 3)
        assert float(line["mean"]) == 1 + seeds - 1


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_the_caption_says_what_the_numbers_are(seeds: int) -> None:
    found = results({(corpus, "bc", 0.1): [10.0] * seeds for corpus in "ab"})
    for corpora, begins in (
        ("", "Normalised return, "),
        ("a", "Normalised return (return where a row says so), "),
        ("ab", "Return, "),
    ):
        assert f"\n\n{begins}" in markdown(make_table(unscaled(found, *corpora)))


def test_differences_follow_where_they_are_asked_for() -> None:
    scores = {
        ("a", "lawm", 0.1): [50.0, 60.0, 70.0],
        ("a", "clap", 0.1): [40.0, 45.0, 80.0],
        ("b", "lawm", 0.1): [5.0, 6.0, None],
        ("b", "clap", 0.1): [2.0, 8.0, 1.0],
    }
    found = results(scores)
    plain, compared = markdown(make_table(found)), markdown(make_table(found, "clap"))
    assert compared.startswith(plain)
    head, _, row = compared[len(plain) :].strip().splitlines()[:3]
    assert head == "| minus C-LAP | difference | a | b | ahead | p |"
    assert row == "| LAWM (10%) | +3.2 | +5.0 | +0.5 | 3 of 5 | 0.500 |"
