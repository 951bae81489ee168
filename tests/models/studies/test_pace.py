"""How far the runs of a study are, and how long the rest will take."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import ArraySpec, Role, RunRecord, TakenStages

from lawm_models.studies.cell import CellRun
from lawm_models.studies.pace import Pace, reached
from lawm_models.studies.plan import Plan


@pytest.fixture
def log(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, *lines: dict, rest: str = "") -> Path:
        (tmp_path / name).mkdir(exist_ok=True)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / name / "metrics.jsonl").write_text(text + rest)
        return tmp_path / name

    return write


def test_how_far_a_run_is(plan: Plan, log, tmp_path: Path) -> None:
    lawm = plan.cells[0]
    assert reached(tmp_path / "nowhere", lawm) == (0, 0, None)
    assert reached(log("empty", rest='{"stage": "mo'), lawm) == (0, 0, None)
    model = {"stage": "model", "step": 10, "elapsed": 4.0}
    assert reached(log("run", model, rest='{"stage": "agent", "st'), lawm) == (0.25, 4.0, 16.0)
    agent = {"stage": "agent", "step": 6, "elapsed": 9.0}
    assert reached(log("run", model, agent), lawm) == (0.9, 9.0, 10.0)


def test_of_a_damaged_log_nothing_is_known(plan: Plan, log) -> None:
    for rest in ("nonsense\n", "[]\n", '{"stage": "other", "step": 1, "elapsed": 1.0}\n'):
        assert reached(log("damaged", rest=rest), plan.cells[0]) == (0, 0, None)


def test_what_a_run_took_over_is_not_its_own_time(plan: Plan, log, tmp_path: Path) -> None:
    first, second, *_ = plan.cells
    model = {"stage": "model", "step": 30, "elapsed": 50.0}
    folder = log("run", model)
    taken = TakenStages(run="runs/a", stages=("model",), sha256="0" * 64, versions={})
    record = RunRecord(
        command="lawm train",
        started="2026-01-01T00:00:00Z",
        device="cpu",
        versions={},
        corpora=(),
        state=(),
        action=ArraySpec(name="action", shape=(1,), role=Role.action),
        taken=taken,
    )
    (folder / "run.json").write_text(record.to_json())
    assert reached(folder, first) == (0.75, 0.0, None)
    log("run", model, {"stage": "agent", "step": 5, "elapsed": 51.0})
    assert reached(folder, first) == (0.875, 1.0, 2.0)
    runs = {cell.key: CellRun(tmp_path / "x", None) for cell in plan.cells}
    runs[first.key] = CellRun(folder, None)
    pace = Pace([first, second], {}, runs, {first.key})
    # one second of two is over, and nothing is known of runs that take nothing over
    assert pace.text([[first.key]]) == "0 of 2 runs done, 1 at work (88%), about 0:00:03 left"
    pace.finish(first.key, failed=False)
    pace = Pace([second], {first.key: (first, 1.0)}, runs, {first.key, second.key})
    assert pace.text([]) == "1 of 2 runs done, about 0:00:01 left"


def test_time_left_is_told_by_runs_of_the_same_kind(plan: Plan, log, tmp_path: Path) -> None:
    first, second, *bc = plan.cells
    at_work = log("two", {"stage": "model", "step": 20, "elapsed": 50.0})
    done = {first.key: (first, 100.0), bc[0].key: (bc[0], 7.0)}
    folders = {first.key: tmp_path, second.key: at_work}
    runs = {cell.key: CellRun(folders.get(cell.key, tmp_path / "x"), None) for cell in plan.cells}
    pace = Pace([second, bc[1]], done, runs)
    # the second LAWM will take 100 s as the first did, and 50 of them are over
    assert pace.text([[second.key]]) == ("2 of 4 runs done, 1 at work (50%), about 0:00:57 left")
    log("two", {"stage": "agent", "step": 10, "elapsed": 80.0})
    pace.finish(second.key, failed=False)
    assert pace.text([]) == "3 of 4 runs done, about 0:00:07 left"
    pace.finish(bc[1].key, failed=True)
    assert pace.text([]) == "3 of 4 runs done, 1 failed, about 0:00:00 left"


def test_a_run_at_work_tells_the_time_when_none_is_done(plan: Plan, log, tmp_path: Path) -> None:
    first, second, *_ = plan.cells
    at_work = log("one", {"stage": "model", "step": 10, "elapsed": 25.0})
    runs = {first.key: CellRun(at_work, None), second.key: CellRun(tmp_path / "x", None)}
    pace = Pace([first, second], {}, runs)
    assert pace.text([]) == "0 of 2 runs done"
    assert pace.text([[first.key]]) == "0 of 2 runs done, 1 at work (25%), about 0:02:55 left"
