from __future__ import annotations

import csv
import io
import re

import pytest
from study_results import papers_own, results

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
