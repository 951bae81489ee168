"""Rows of a few seeds."""

import pytest

from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.page import cell
from lawm_models.probes.result import Line, figure

COLUMN = Column("error", "error", "low", "0 and more", "what it is", "what it is not")


@pytest.mark.parametrize(
    ("values", "text"),
    [([0.5], "0.50"), ([0.25, 0.75], "0.50 (0.25, 0.75)"), ([0.0, 0.5, 1.0], "0.50 ± 0.50")],
)
def test_only_three_seeds_or_more_have_a_spread(values: list[float], text: str) -> None:
    assert cell(Line("row", "run", (), {"error": values}), COLUMN) == text
    found = figure(values)
    assert (found["mean"], found["values"]) == (0.5, values)
    assert found["std"] == (0.5 if len(values) == 3 else None)


def test_what_was_not_measured_is_a_dash() -> None:
    assert cell(Line("row", "run", (), {}), COLUMN) == "–"
