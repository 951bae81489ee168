"""Tables in the documents are those of the files that they name."""

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from lawm_schemas import ExperimentConfig, Results

from lawm_models.studies import record
from lawm_models.studies.plan import read_study
from lawm_models.studies.variant import variant
from lawm_models.training.experiment import resolve

ROOT = Path(__file__).resolve().parents[1]


def _script() -> ModuleType:
    path = ROOT / "benchmarks" / "readme_table.py"
    spec = importlib.util.spec_from_file_location("readme_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()


@pytest.mark.parametrize("path", SCRIPT.documents(), ids=lambda path: path.name)
def test_documents_agree_with_the_results(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert SCRIPT.filled(path) == text, "run: python benchmarks/readme_table.py"
    begun = re.findall(r"^<!-- table: ", text, re.MULTILINE)
    assert len(begun) == len(SCRIPT.STUDY.findall(text))


def test_some_document_has_a_table_of_a_study() -> None:
    assert any(SCRIPT.STUDY.search(SCRIPT.read(path)) for path in SCRIPT.documents())


def test_another_result_is_another_table(tmp_path: Path) -> None:
    results = Results.read_json(ROOT / "benchmarks" / "results" / "tiny.json")
    text = "before\n<!-- table: a.json -->\nold\n<!-- end of table -->\nafter\n"
    shutil.copy(ROOT / "benchmarks" / "results" / "tiny.json", tmp_path / "a.json")
    first = SCRIPT.with_studies(text, tmp_path)
    assert first.startswith("before\n<!-- table: a.json -->\n| corpus |")
    assert first.endswith("\n<!-- end of table -->\nafter\n")
    assert SCRIPT.with_studies(first, tmp_path) == first
    (cell, *rest) = results.cells
    assert cell.evaluation is not None
    better = cell.evaluation.model_copy(update={"normalized": 99.0})
    cells = (cell.model_copy(update={"evaluation": better}), *rest)
    (tmp_path / "a.json").write_text(results.model_copy(update={"cells": cells}).to_json())
    second = SCRIPT.with_studies(first, tmp_path)
    assert second != first
    assert re.sub(r"[\d.*-]", "", second) == re.sub(r"[\d.*-]", "", first)


@pytest.mark.parametrize(
    "name", ["claim", "dream-noise", "explorers", "labels", "longer", "plus", "unseen"]
)
def test_results_are_those_of_the_shipped_settings(name: str) -> None:
    """So that ``--known`` finds every run, and the documents tell what a user would get."""
    results = Results.read_json(ROOT / "benchmarks" / "results" / f"{name}.json")
    study = read_study(name)
    assert list(results.configs) == list(study.algorithms)
    for algorithm, config in results.configs.items():
        data, wrong = variant(study, algorithm, None)
        assert not wrong
        shipped = resolve(ExperimentConfig.parse({**data, "corpora": [{"path": "."}]}, algorithm))
        assert shipped.model_dump(mode="json", exclude={"corpora", "seed"}) == config
    assert len(record.finished(results)) == len(results.cells)
    assert all(cell.state == "done" for cell in results.cells)


def test_results_say_how_they_were_made() -> None:
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        if '"study":' not in path.read_text(encoding="utf-8"):
            continue
        results = Results.read_json(path)
        assert results.command.startswith("lawm benchmark ")
        for cell in results.cells:
            assert cell.versions or cell.state != "done"
            assert cell.command.startswith("lawm train ")
