"""Tables in the documents are those of the files that they name."""

import json
import re
import shutil
from pathlib import Path

import pytest
import readme_table
from lawm_schemas import ExperimentConfig, Results

from lawm_models.studies import record
from lawm_models.studies.plan import read_study
from lawm_models.studies.variant import variant
from lawm_models.training.experiment import resolve

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in readme_table.documents()}


@pytest.mark.parametrize("name", TEXTS)
def test_documents_agree_with_the_results(name: str) -> None:
    text = TEXTS[name]
    assert readme_table.filled(text) == text, "run: python benchmarks/readme_table.py"
    begun = re.findall(rf"^<!-- (?:{'|'.join(readme_table.KINDS)}):", text, re.MULTILINE)
    assert len(begun) == len(readme_table.PLACE.findall(text))


def test_every_kind_of_table_is_in_some_document() -> None:
    places = [place for text in TEXTS.values() for place in readme_table.PLACE.finditer(text)]
    assert {place["kind"] for place in places} == set(readme_table.KINDS)
    assert readme_table.PLACE.search(TEXTS["README.md"])


@pytest.mark.parametrize(("begin", "rows"), [("seeds: tiny", 6), ("seeds: tiny bc", 2)])
def test_another_result_is_another_table(tmp_path: Path, begin: str, rows: int) -> None:
    results = Results.read_json(ROOT / "benchmarks" / "results" / "tiny.json")
    text = f"before\n<!-- {begin} -->\nold\n<!-- end of table -->\nafter\n"
    first_folder, second_folder = tmp_path / "first", tmp_path / "second"
    first_folder.mkdir()
    second_folder.mkdir()
    shutil.copy(ROOT / "benchmarks" / "results" / "tiny.json", first_folder)
    first = readme_table.filled(text, first_folder)
    assert first.startswith(f"before\n<!-- {begin} -->\n|  | cartpole-swingup |\n")
    assert first.count("\n|") == 2 + rows
    assert first.endswith("\n<!-- end of table -->\nafter\n")
    assert readme_table.filled(first, first_folder) == first
    cells = []
    for cell in results.cells:
        assert cell.evaluation is not None
        better = cell.evaluation.model_copy(update={"normalized": 99.0})
        cells.append(cell.model_copy(update={"evaluation": better}))
    changed = results.model_copy(update={"cells": tuple(cells)})
    (second_folder / "tiny.json").write_text(changed.to_json())
    second = readme_table.filled(first, second_folder)
    assert second != first
    assert "99.0" in second


def test_pairs_that_are_too_few_have_no_p() -> None:
    line = "explorers 0.01 lawm clap"
    (*_, row) = readme_table.pairs(line, readme_table.RESULTS)
    assert re.fullmatch(r"\| LAWM − C-LAP \| `explorers` \| \S+ \| 2 of 2 \| – \|", row)


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
        # what was run, with the settings that are younger than it
        made = resolve(ExperimentConfig.parse({**config, "corpora": [{"path": "."}]}, algorithm))
        assert made == shipped
    keys = {record.key_of(results, cell) for cell in results.cells} - {None}
    assert len(keys) == len(results.cells)
    assert all(cell.state == "done" for cell in results.cells)


def test_results_say_how_they_were_made() -> None:
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        if "study" not in json.loads(path.read_text(encoding="utf-8")):
            continue
        results = Results.read_json(path)
        assert results.command.startswith("lawm benchmark ")
        for cell in results.cells:
            assert cell.versions or cell.state != "done"
            assert cell.command.startswith(("lawm train ", "lawm relabel "))  # infers labels first
