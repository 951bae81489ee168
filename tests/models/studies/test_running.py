"""The order in which the runs of a study are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import Study

from lawm_data import filter_corpus, open_corpus
from lawm_models.studies.benchmark import _item
from lawm_models.studies.cell import cell_runs
from lawm_models.studies.plan import Plan
from lawm_models.studies.running import Work, _train_stack, stacks, turns
from lawm_models.training.experiment import corpus_record

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


def test_seeds_of_each_label_budget_are_a_stack(corpus: Path, tmp_path: Path) -> None:
    """What makes a stack is how many windows of a batch are labeled, not of how many."""
    few = {"settings": {**WORLD["settings"], "labeled_ratio": 1.0}, "algorithm": "lawm"}
    chance = {"settings": {**WORLD["settings"], "labeled_ratio": None}, "algorithm": "lawm"}
    algorithms = {"half": WORLD, "every": few, "chance": chance}
    labels = [0.34, 0.5, "all"]
    data = {"corpora": {"cs": str(corpus)}, "algorithms": algorithms, "labels": labels}
    plan = Plan(Study.parse({**data, "preset": "demo", "seeds": [0, 1]}, ""), "study")
    runs = cell_runs(tmp_path, plan.cells)
    found = {cell.key: cell for cell in plan.cells}
    work = [_item(turn, runs[turn.cell.key]) for turn in turns(plan.cells, plan.cells, runs)]
    kinds = [[found[item.key] for item in stack] for stack in stacks(work, 99)]
    names = [sorted({(cell.algorithm, str(cell.labels)) for cell in stack}) for stack in kinds]
    assert sorted(names) == sorted(
        [
            [("half", "0.34"), ("half", "0.5")],
            # of every budget all windows; without a ratio, too, where all trajectories are labeled
            [("every", "0.34"), ("every", "0.5"), ("every", "all")],
            [("half", "all")],
            [("chance", "all")],
            *[[("chance", labels)] for labels in ("0.34", "0.5") for _ in range(2)],
        ]
    )


BROKEN = """
from lawm_models.algorithms import lawm

Config = lawm.Config


class Algorithm(lawm.Algorithm):
    def update(self, stage, batch, generator):
        if not hasattr(generator, "device"):
            raise ValueError("many at once")
        return super().update(stage, batch, generator)
"""


@pytest.mark.parametrize("stackable", [True, False], ids=["a defect", "a fault of the user's"])
def test_a_stack_that_fails_says_so_and_each_run_is_made_alone(
    experiment: Callable,
    install: Callable,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    stackable: bool,
) -> None:
    """A fault that a user can correct is said once, of each run, and not of the stack."""
    install(
        "lab 1.0",
        {"broken.py": f'"""Broken: alone it learns."""\n{BROKEN}'},
        {"lawm.algorithms": {"broken": "broken"}},
    )
    path = experiment("lawm").corpora[0].path
    view = open_corpus(path).with_mask("half")
    seen, work = corpus_record(view, path).model_dump(mode="json"), []
    for seed in (0, 1):
        data = experiment("lawm", seed=seed, steps={"model": 2, "agent": 1}).model_dump(mode="json")
        data["algorithm"]["name"] = "broken"
        data["corpora"][0]["mask"] = "half" if stackable else "missing"
        work.append(Work(str(seed), data, str(tmp_path / str(seed)), seen))
    outcomes = _train_stack(work)
    said = [x for x in capsys.readouterr().err.splitlines() if "at once" in x]
    if stackable:
        assert [outcome.error for outcome in outcomes] == [None, None]
        line = (
            f"warning: {tmp_path / '0'} and 1 more: not trained at once: ValueError: many at once"
        )
        assert len(said) == 1
        assert said[0].startswith(line)
    else:
        assert said == []
        assert all("missing" in (outcome.error or "") for outcome in outcomes)
        assert not any(outcome.traceback for outcome in outcomes)
