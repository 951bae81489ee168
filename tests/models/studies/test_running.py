"""The order in which the runs of a study are made."""

from __future__ import annotations

from pathlib import Path

from lawm_schemas import Study

from lawm_models.studies.cell import cell_runs
from lawm_models.studies.plan import Plan
from lawm_models.studies.running import turns

WORLD = {"algorithm": "lawm", "settings": {"steps.model": 3, "steps.agent": 2}}
OTHER_POLICY = {**WORLD, "settings": {**WORLD["settings"], "algorithm.settings.agent.horizon": 3}}
OTHER_WORLD = {**WORLD, "settings": {**WORLD["settings"], "steps.model": 4}}


def test_whoever_shares_a_world_model_waits_for_the_first(corpus: Path, tmp_path: Path) -> None:
    algorithms = {"first": WORLD, "alike": OTHER_POLICY, "unlike": OTHER_WORLD, "bc": {}}
    data = {"corpora": {"cs": str(corpus)}, "algorithms": algorithms, "labels": [0.34]}
    plan = Plan(Study.parse({**data, "preset": "demo", "seeds": [1, 0]}, ""), "study")
    runs = cell_runs(tmp_path, plan.cells)
    found = turns(plan.cells, plan.cells, runs)
    assert [(turn.cell.seed, turn.cell.algorithm) for turn in found] == [
        (seed, name) for seed in (1, 0) for name in ("first", "unlike", "bc", "alike")
    ]
    for turn in found:
        shares = turn.cell.algorithm in ("first", "alike")
        partner = {"first": "alike", "alike": "first"}.get(turn.cell.algorithm)
        assert turn.shorter == (turn.cell.algorithm == "alike")
        assert len(turn.others) == shares
        assert all(f"/{partner}-34pct-seed{turn.cell.seed}" in other for other in turn.others)
