"""Results hold the study that was asked for, and every run of it."""

import pytest
from documents import require_refused, require_round_trip
from lawm_schemas import CellResult, Results

CELL = {
    "corpus": "cs",
    "algorithm": "bc",
    "labels": 1,
    "seed": 0,
    "state": "open",
    "run": "runs/cs/bc",
    "command": "lawm train",
    "fingerprint": "0" * 64,
    "trajectories": 6,
    "labeled": 6,
}


def test_results_come_back_whole() -> None:
    study = {"corpora": {"cs": "corpora/cs"}, "algorithms": {"bc": None}, "labels": ["all"]}
    data = {"name": "s", "command": "lawm benchmark s", "study": study, "cells": [CELL]}
    results = require_round_trip(Results, data)
    assert results.cells[0].labels == "all"  # a budget is written in one way


@pytest.mark.parametrize(
    ("change", "words"),
    [({"state": "lost"}, "state"), ({"seconds": -1}, "seconds"), ({"labels": 2}, "fraction 2")],
)
def test_bad_cells_are_refused(change: dict, words: str) -> None:
    require_refused(CellResult, CELL, change, words)
