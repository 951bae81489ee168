"""The order in which the runs of a study are made."""

from __future__ import annotations

from pathlib import Path

from lawm_schemas import Study

from lawm_data import filter_corpus, open_corpus
from lawm_models.studies.benchmark import _item
from lawm_models.studies.cell import cell_runs
from lawm_models.studies.plan import Plan
from lawm_models.studies.running import stacks, turns

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


def test_seeds_of_a_kind_are_one_stack(corpus: Path, tmp_path: Path) -> None:
    algorithms = {"first": WORLD, "unlike": OTHER_WORLD, "bc": {}}
    whole, other = open_corpus(corpus), tmp_path / "other"
    filter_corpus(whole, f"id != '{whole.table.id[0]}'", other)
    corpora = {"cs": str(corpus), "other": str(other)}
    data = {"corpora": corpora, "algorithms": algorithms, "labels": [0.34]}
    plan = Plan(Study.parse({**data, "preset": "demo", "seeds": [2, 0, 1]}, ""), "study")
    cells = [cell for cell in plan.cells if cell.corpus == "cs" or cell.algorithm == "first"]
    runs = cell_runs(tmp_path, cells)
    work = [_item(turn, runs[turn.cell.key]) for turn in turns(cells, cells, runs)]
    names = {item.key: cell.name for cell in cells for item in work if item.key == cell.key}

    def found(most):
        return [[names[item.key] for item in stack] for stack in stacks(work, most)]

    assert found(9) == [
        [f"cs/first-34pct-seed{seed}" for seed in (2, 0, 1)],
        [f"cs/unlike-34pct-seed{seed}" for seed in (2, 0, 1)],
        ["cs/bc-34pct-seed2"],
        [f"other/first-34pct-seed{seed}" for seed in (2, 0, 1)],
        *([f"cs/bc-34pct-seed{seed}"] for seed in (0, 1)),
    ]
    assert sorted(map(len, found(2))) == [1, 1, 1, 1, 1, 1, 2, 2, 2]
    assert all(len(stack) == 1 for stack in found(1))
