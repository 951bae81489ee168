"""The table and pictures of a study that was judged by the probe."""

from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from lawm_schemas import Results

from lawm_models.studies.probe_table import FRONTIER, ProbeTable, make_probe_table, pictures

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "constraints.json"


@pytest.fixture(scope="module")
def results() -> Results:
    return Results.read_json(RESULTS)


@pytest.fixture(scope="module")
def table(results: Results) -> ProbeTable:
    return make_probe_table(results)


def test_the_table_says_what_a_training_took(results: Results, table: ProbeTable) -> None:
    assert table.columns[-1].title == "CPU min"
    for row in table.rows:
        judged = [c for c in results.cells if c.algorithm == row.line.name and c.figures]
        taken = [cell.cpu_seconds / 60 for cell in judged if cell.cpu_seconds is not None]
        assert row.line.values.get("cpu_minutes", []) == taken


def test_the_frontier_has_a_point_for_each_row_and_its_leak_as_color(table: ProbeTable) -> None:
    points = pictures(table)["frontier"].axes[0].collections[0]
    rows = [row.line.values for row in table.rows if row.curve]
    places = [[fmean(values[name]) for name in FRONTIER[:2]] for values in rows]
    np.testing.assert_allclose(np.asarray(points.get_offsets()), places)
    leaks = [fmean(values[FRONTIER[2]]) for values in rows]
    np.testing.assert_allclose(np.asarray(points.get_array()), leaks)


def test_each_corpus_and_label_budget_has_its_pictures() -> None:
    table = make_probe_table(Results.read_json(RESULTS.with_name("relatives.json")))
    drawn = pictures(table)
    places = dict.fromkeys((row.corpus, row.labels) for row in table.rows)
    assert len(places) == 4
    for corpus, labels in places:
        rows = [
            row for row in table.rows if row.curve and (row.corpus, row.labels) == (corpus, labels)
        ]
        axes = drawn[f"frontier-{corpus}-{labels:.0%}".replace("%", "pct")].axes[0]
        assert axes.get_title() == f"{corpus}, {labels:.0%}"
        errors = [fmean(row.line.values[FRONTIER[0]]) for row in rows]
        np.testing.assert_allclose(np.asarray(axes.collections[0].get_offsets())[:, 0], errors)


def test_relatives_of_lam_have_curves_of_their_own(results: Results) -> None:
    """Whatever their constraints are."""
    first, *others = results.configs
    flam = {**results.configs[first]["algorithm"], "name": "flam"}
    configs = {**results.configs, first: {"algorithm": flam}}
    rows = make_probe_table(results.model_copy(update={"configs": configs})).rows
    curves = {row.line.name: row.curve for row in rows}
    assert curves[first] == "flam"
    assert {curves[name] for name in others} >= {"none", "gaussian", "vq + labels"}
