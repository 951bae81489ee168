"""What is known of the runs of a study, kept in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from lawm_schemas import Evaluation, Results, Study

from lawm_models.studies import record
from lawm_models.studies.benchmark import StudyState
from lawm_models.studies.cell import CellRun
from lawm_models.studies.plan import Plan

SEEN = Evaluation(
    return_mean=5, return_std=0, normalized=50, episodes=1, returns=(5,), seed=0, environment="x"
)


@pytest.fixture
def made(plan: Plan, tmp_path: Path) -> Results:
    """One run is done, one has failed, and two are open."""
    runs = [CellRun(tmp_path / cell.name, None) for cell in plan.cells]
    errors = [None, "out of memory", None, None]
    known = [
        record.cell_result(tmp_path, plan.study, cell, run, error)
        for cell, run, error in zip(plan.cells, runs, errors, strict=True)
    ]
    known[0] = known[0].model_copy(update={"state": "done", "evaluation": SEEN})
    return record.results("study", "lawm benchmark study", plan.study, plan.cells, known)


def test_states_are_counted_and_what_is_known_is_read_again(made: Results, tmp_path: Path) -> None:
    assert record.by_state(made.cells) == {"done": 1, "begun": 0, "open": 2, "failed": 1}
    assert record.previous(tmp_path) is None
    (tmp_path / record.RESULTS).write_text(made.to_json())
    assert record.previous(tmp_path) == made


def test_finished_runs_are_known_by_what_decides_their_numbers(
    made: Results, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "theirs.json"
    path.write_text(made.to_json())
    found = record.read([path], plan.study, plan.cells)
    assert found == {plan.cells[0].key: made.cells[0].model_copy(update={"taken_from": str(path)})}
    assert "1 of 4 runs are taken from it" in capsys.readouterr().err
    assert record.read([path], plan.study, plan.cells[1:]) == {}
    taken = record.taken_over(
        tmp_path, plan.study, plan.cells[0], CellRun(tmp_path / "here", None), *found.values()
    )
    assert (taken.run, taken.evaluation, taken.taken_from) == ("here", SEEN, str(path))


def test_what_a_run_has_failed_of_is_of_no_other_run(
    made: Results, plan: Plan, tmp_path: Path
) -> None:
    """It had no folder yet, so that the other one takes its name."""
    failed = made.cells[1].model_copy(update={"cpu_seconds": 7.0})
    cells = (made.cells[0], failed, *made.cells[2:])
    (tmp_path / record.RESULTS).write_text(made.model_copy(update={"cells": cells}).to_json())

    def look(study: Study) -> tuple[str, str | None, float | None]:
        state = StudyState(tmp_path, "study", "c", Plan(study, "study"), {})
        (found,) = (cell for cell in state.results if cell.run == f"runs/{plan.cells[1].name}")
        return found.state, found.error, found.cpu_seconds

    assert look(plan.study) == ("failed", "out of memory", 7.0)
    other = plan.study.model_copy(update={"settings": {"window": 9}})
    assert look(other) == ("open", None, None)


def test_runs_of_settings_that_this_version_lacks_are_left_out(made: Results, plan: Plan) -> None:
    assert record.matched(made, plan.cells) == list(zip(made.cells, plan.cells, strict=True))
    name = made.cells[0].algorithm
    config = made.configs[name] | {"preset_of_the_future": 1}
    future = made.model_copy(update={"configs": {name: config}})
    assert record.matched(future, plan.cells) == []
    assert record.matched(made.model_copy(update={"configs": {}}), plan.cells) == []
