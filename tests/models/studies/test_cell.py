"""A run is known by what decides its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lawm_schemas import CorpusRecord, ExperimentConfig, Study

from lawm_models.studies.cell import RUNS, Cell, cell_runs, command, key, label_name, mask_name
from lawm_models.studies.plan import Plan
from lawm_models.training.experiment import open_sources
from lawm_models.training.run_folder import RunFolder


def changed(cell: Cell, **data: Any) -> str:
    """The key after a change of the configuration, or of what is known of the data."""
    known = {k: v for k, v in data.items() if k in CorpusRecord.model_fields}
    rest = {k: v for k, v in data.items() if k not in known}
    whole = ExperimentConfig.model_validate(cell.config.model_dump() | rest)
    return key(whole, [cell.data.model_copy(update=known)])


def test_names_and_places_decide_nothing(plan: Plan) -> None:
    cell = plan.cells[0]
    assert changed(cell) == cell.key
    source = cell.config.corpora[0].model_copy(update={"path": "elsewhere", "mask": "other"})
    assert changed(cell, preset="large", corpora=[source]) == cell.key
    assert changed(cell, path="elsewhere", mask="other") == cell.key


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"window": 9}, {"fingerprint": "0" * 64}, {"mask_sha256": "0" * 64}],
    ids=str,
)
def test_what_a_run_computes_with_decides(plan: Plan, change: dict) -> None:
    cell = plan.cells[0]
    assert changed(cell, **change) != cell.key


def test_every_cell_has_a_name_and_a_command_of_its_own(plan: Plan) -> None:
    names = [cell.name for cell in plan.cells]
    assert names[0] == "cs/lawm-34pct-seed0"
    commands = [command(plan.study, cell, cell.name) for cell in plan.cells]
    assert len({*names}) == len({*commands}) == len(plan.cells) == 4
    assert "--set steps.model=30" in commands[0]
    assert [label_name(labels) for labels in (0.05, 0.125, "all")] == ["5pct", "12.5pct", "all"]
    masks = {mask_name(plan.study, labels, seed) for labels in (0.05, 0.1) for seed in (0, 1)}
    assert len(masks) == 4


def test_runs_are_found_whatever_they_are_called(plan: Plan, tmp_path: Path) -> None:
    out, cells = tmp_path / "out", plan.cells[2:]  # behaviour cloning
    plan.write_masks(cells)
    config = cells[0].config
    folder = out / RUNS / "cs" / "moved"
    folder.mkdir(parents=True)
    RunFolder.create(folder, config, open_sources(config).record)
    (out / RUNS / cells[1].name).mkdir(parents=True)
    (out / RUNS / cells[1].name / "config.yaml").write_text("another: run")
    runs = cell_runs(out, [*cells, *cells])
    assert runs.keys() == {cell.key for cell in cells}
    assert runs[cells[0].key].folder == folder
    assert runs[cells[0].key].saved is not None
    assert not runs[cells[0].key].finished
    assert runs[cells[1].key].folder.name == f"{Path(cells[1].name).name}-2"
    assert runs[cells[1].key].saved is None


def test_inferred_actions_of_a_study_are_known_before_they_are_there(corpus: Path) -> None:
    algorithms = {"bc": {"relabeled_by": "lawm"}, "lawm": {}, "lawm-longer": {"algorithm": "lawm"}}
    algorithms["lawm-longer"]["settings"] = {"steps.model": 5000}

    def told(by: str) -> Cell:
        given = {"corpora": {"cs": str(corpus)}, "preset": "demo", "algorithms": algorithms}
        algorithms["bc"]["relabeled_by"] = by
        return Plan(Study.parse(given, ""), "study").cells[0]

    cell, other = told("lawm"), told("lawm-longer")
    assert cell.key != other.key
    assert cell.teacher is not None
    assert cell.config.corpora[0].labels == cell.data.labels == cell.teacher.inferred
    assert changed(cell, labels_sha256="0" * 64) == cell.key != changed(cell, labels=None)
    by_somebody = {"labels": "mine", "labels_sha256": "0" * 64}
    assert changed(cell, **by_somebody) != changed(cell, **by_somebody | {"labels_sha256": "1"})
