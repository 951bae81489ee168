"""Results of studies, made up, and a plan of a small one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from lawm_schemas import Study

from lawm_models.studies.plan import Plan

# The helpers stand beside the tests, which are no package.
sys.path.append(str(Path(__file__).parent))

STEPS = {"steps.model": 30, "steps.agent": 10}


@pytest.fixture
def plan(corpus: Path) -> Plan:
    """Two algorithms under two label budgets."""
    algorithms = {"lawm": {"settings": STEPS}, "bc": {"settings": {"steps.agent": 5}}}
    data = {"corpora": {"cs": str(corpus)}, "algorithms": algorithms, "labels": [0.34, 0.67]}
    data["settings"] = {"window": 8}
    return Plan(Study.parse({"preset": "demo", **data}, ""), "study")
