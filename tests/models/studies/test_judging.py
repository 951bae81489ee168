"""A study that is judged by the probe: what it finds is what ``lawm probe`` finds of its runs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lawm_schemas import ConfigError, Results, Study

from lawm_data import open_corpus
from lawm_data.curation.derive import derive
from lawm_models.probes.probe import probe
from lawm_models.probes.result import Settings
from lawm_models.studies import record
from lawm_models.studies.benchmark import StudyState, benchmark
from lawm_models.studies.judging import Panel, basis, judge_panel
from lawm_models.studies.plan import Plan
from lawm_models.studies.probe_table import comma_separated, make_probe_table, markdown, pictures

KINDS = {"state_only", "acwm", "acwm_all", "unconstrained", "idm"}
SMALL = {"units": 4, "layers": 1, "latent": 2}


@pytest.fixture(scope="module")
def data(make_corpus: Callable, tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("judged")
    whole = make_corpus(folder / "whole", lengths=(9, 9, 9, 9, 9, 9))
    part = open_corpus(whole)[[0, 1, 2, 3]]
    derive([part], folder / "train", operation="filter", settings={})
    return {
        "corpora": {"linear": {"path": str(folder / "train"), "whole": str(whole)}},
        "algorithms": {
            "vq": {
                "algorithm": "lam",
                "settings": {"algorithm.settings.model": {**SMALL, "constraint": {"name": "vq"}}},
            },
            "free": {
                "algorithm": "lam",
                "settings": {"algorithm.settings.model": {**SMALL, "constraint": {"name": "none"}}},
            },
        },
        "labels": [0.5],
        "settings": {"steps.model": 2, "steps.controller": 0, "batch_size": 2},
        "probe": {"steps": 2},
    }


@pytest.fixture(scope="module")
def found(data: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study."""
    out = tmp_path_factory.mktemp("study") / "out"
    benchmark(Study.parse(data, "study"), out, workers=1)
    return out


@pytest.fixture
def state(data: dict, found: Path, tmp_path: Path) -> Callable[..., StudyState]:
    """What is known, in a copy of the folder, when the study is another one."""
    out = shutil.copytree(found, tmp_path / "copy")

    def look(change: Callable[[dict], object] | None = None, **changes: Any) -> StudyState:
        """``change`` is what has happened to the file."""
        if change is not None:
            results = json.loads((found / "results.json").read_text())
            change(results)
            (out / "results.json").write_text(json.dumps(results))
        plan = Plan(Study.parse({**data, **changes}, "study"), "study")
        return StudyState(out, "study", "lawm benchmark study", plan, {})

    return look


def as_of_earlier(results: dict) -> None:
    """A file of a version that did not write down what figures depend on."""
    for each in (*results["cells"], *results["anchors"]):
        del each["judged_by"]


def test_it_finds_what_the_probe_finds(data: dict, found: Path) -> None:
    """With the labels that the runs could see, on what they have not seen."""
    results = Results.read_json(found / "results.json")
    assert {anchor.kind for anchor in results.anchors} == KINDS
    assert len(results.anchors) == len(KINDS)
    runs = [found / cell.run for cell in results.cells]
    whole = open_corpus(data["corpora"]["linear"]["whole"])
    train = open_corpus(data["corpora"]["linear"]["path"])
    mask = train.masks()[results.cells[0].mask or ""]
    mask = mask.model_copy(update={"corpus": whole.root_fingerprint, "chosen_from": None})
    own = probe(runs, whole.path, mask, settings=Settings(2, 600, 0))
    lines = {line.name: line for line in own.lines}
    for cell, run in zip(results.cells, runs, strict=True):
        assert cell.figures == {k: v[0] for k, v in lines[run.name].values.items()}
    for anchor in results.anchors:
        line = next(line for line in own.lines if line.kind == anchor.kind)
        assert anchor.figures == {k: v[0] for k, v in line.values.items()}


def test_the_same_again_does_nothing(
    data: dict, found: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (found / "results.json").read_bytes()
    benchmark(Study.parse(data, "study"), found, workers=1)
    assert (found / "results.json").read_bytes() == before
    assert "probe:" not in capsys.readouterr().err


def test_a_run_that_was_trained_again_is_judged_again(
    data: dict, found: Path, tmp_path: Path
) -> None:
    """Whatever stands there of the run that it replaces."""
    out = shutil.copytree(found, tmp_path / "out")
    plan = Plan(Study.parse(data, "study"), "study")
    state = StudyState(out, "study", "lawm benchmark study", plan, {})
    assert state.unjudged(state.cells) == []
    state.finish(state.cells[0].key, None, 0.0)
    assert [cell.figures is None for cell in state.results] == [True, False]
    assert len(state.unjudged(state.cells)) == 1


def test_the_table_has_every_row_and_a_curve_for_each_constraint(found: Path) -> None:
    table = make_probe_table(Results.read_json(found / "results.json"))
    assert [row.line.name for row in table.rows[:2]] == ["vq", "free"]
    assert {row.line.kind for row in table.rows[2:]} == KINDS
    assert [row.curve for row in table.rows[:3]] == ["vq", "none", ""]
    text = markdown(table)
    assert text.count("\n| ") == 1 + len(table.rows)
    assert all(column.title in text for column in table.columns)
    values = sum(len(each) for row in table.rows for each in row.line.values.values())
    assert comma_separated(table).count("\n") == 1 + values
    (picture,) = pictures(table).values()
    assert {text.get_text() for text in picture.axes[0].get_legend().get_texts()} == {"vq", "none"}


def test_where_nothing_is_held_out_there_is_one_line(data: dict, found: Path) -> None:
    train = data["corpora"]["linear"]["path"]
    study = Study.parse({**data, "corpora": {"linear": {"path": train, "whole": train}}}, "study")
    results = Results.read_json(found / "results.json")
    runs = tuple(str(found / cell.run) for cell in results.cells)
    assert study.probe is not None
    judged_by = basis(study.probe, open_corpus(train).root_fingerprint, None)
    panel = Panel(("linear", 0.5, 0), runs, train, None, study, judged_by)
    judged = judge_panel(panel)
    assert "no trajectory is held out" in (judged.error or "")
    assert (judged.figures, judged.anchors) == ({}, ())
    cells = [cell.model_copy(update={"figures": None}) for cell in results.cells]
    with pytest.raises(ConfigError, match="no run is judged"):
        make_probe_table(results.model_copy(update={"cells": tuple(cells)}))


@pytest.mark.parametrize("written", [None, as_of_earlier], ids=["now", "by an earlier version"])
def test_another_probe_judges_again(
    data: dict, state: Callable[..., StudyState], written: Callable | None
) -> None:
    """And the same one does not, whatever does not matter to it."""
    same = state(written)
    assert same.unjudged(same.cells) == []
    assert {anchor.kind for anchor in same.anchors} == KINDS
    assert all(cell.figures and cell.judged_by for cell in same.results)
    assert all(anchor.judged_by == same.results[0].judged_by for anchor in same.anchors)
    unused = state(probe={"steps": 2, "pairs": 5, "goals": 5})
    assert (unused.unjudged(unused.cells), unused.results) == ([], same.results)
    for asked in ({"steps": 3}, {"steps": 2, "simulate": True}):
        other = state(probe=asked)
        assert len(other.unjudged(other.cells)) == 1
        assert {cell.state for cell in other.results} == {"done"}
        assert {cell.figures for cell in other.results} == {None}
        assert other.anchors == ()
    other = state(probe={"steps": 3})
    (panel,) = other.unjudged(other.cells)
    judged = judge_panel(panel)
    other.judged(judged)
    again = state(probe={"steps": 3})
    assert [cell.figures for cell in again.results] == list(judged.figures.values())
    assert again.results[0].figures != same.results[0].figures
    assert again.unjudged(again.cells) == []


@pytest.mark.parametrize("written", [None, as_of_earlier], ids=["now", "by an earlier version"])
def test_another_corpus_to_judge_on_judges_again(
    data: dict, state: Callable[..., StudyState], tmp_path: Path, written: Callable | None
) -> None:
    train, whole = data["corpora"]["linear"].values()
    derive([open_corpus(whole)[:5]], tmp_path / "part", operation="filter", settings={})
    shutil.copytree(whole, tmp_path / "moved")
    for name, count in (("part", 1), ("moved", 0)):
        corpora = {"renamed": {"path": train, "whole": str(tmp_path / name)}}
        found = state(written, corpora=corpora)
        assert len(found.unjudged(found.cells)) == count
        assert [anchor.corpus for anchor in found.anchors] == ["renamed"] * 5 * (1 - count)
        written = None


def test_one_run_is_judged_on_each_corpus_that_it_stands_for(
    data: dict, state: Callable[..., StudyState], tmp_path: Path
) -> None:
    first = data["corpora"]["linear"]
    others = open_corpus(first["whole"])[[0, 1, 2, 3, 5]]
    derive([others], tmp_path / "p", operation="filter", settings={})
    corpora = {"linear": first, "second": {**first, "whole": str(tmp_path / "p")}}
    found = state(corpora=corpora)
    (panel,) = found.unjudged(found.cells)
    assert panel.key[0] == "second"
    found.judged(judge_panel(panel))
    again = state(corpora=corpora)
    assert again.unjudged(again.cells) == []
    by_corpus = {cell.corpus: cell.figures for cell in again.results if cell.algorithm == "vq"}
    assert by_corpus["linear"] != by_corpus["second"]
    # without one of them its anchors are gone, and the table is made
    alone = state()
    assert {anchor.corpus for anchor in alone.anchors} == {"linear"}


def test_anchors_of_what_the_study_has_no_longer_are_in_no_table(found: Path) -> None:
    results = Results.read_json(found / "results.json")
    first = results.anchors[0]
    others = [{"corpus": "gone"}, {"labels": 0.9}, {"seed": 7}]
    more = (*results.anchors, *(first.model_copy(update=update) for update in others))
    table = make_probe_table(results.model_copy(update={"anchors": more}))
    assert table.rows == make_probe_table(results).rows


def test_known_runs_bring_figures_and_anchors_of_the_same_probe_alone(
    data: dict, found: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = found / "results.json"
    same = benchmark(Study.parse(data, "s"), tmp_path / "same", known=[known], dry_run=True)
    theirs = Results.read_json(known)
    assert [cell.figures for cell in same.cells] == [cell.figures for cell in theirs.cells]
    assert all(cell.taken_from for cell in same.cells)
    assert same.anchors == theirs.anchors
    assert "2 of 2 runs are taken from it\n" in capsys.readouterr().err
    study = Study.parse({**data, "probe": {"steps": 3}}, "s")
    other = benchmark(study, tmp_path / "other", known=[known], dry_run=True)
    assert {cell.state for cell in other.cells} == {"open"}
    said = "0 of 2 runs are taken from it; done, but without figures of this probe: 2\n"
    assert said in capsys.readouterr().err
    # neither does what was taken over before
    taken = Results.model_validate(same.model_dump())
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "results.json").write_text(taken.to_json())
    kept = tmp_path / "kept" / "results.json"
    assert len(record.kept(kept, same.study, Plan(same.study, "s").cells)) == 2
    assert record.kept(kept, study, Plan(study, "s").cells) == {}


def test_a_corpus_that_has_changed_meanwhile_judges_nothing(state: Callable) -> None:
    now = state(probe={"steps": 3})
    (panel,) = now.unjudged(now.cells)
    judged = judge_panel(panel._replace(judged_by="another"))
    assert (judged.figures, judged.anchors) == ({}, ())
    assert "has changed since the study was checked" in (judged.error or "")
    now.judged(judged._replace(panel=panel))
    again = state(probe={"steps": 3})
    assert [cell.unjudged for cell in again.results] == [judged.error] * 2
    assert state(probe={"steps": 4}).results[0].unjudged is None
    with pytest.raises(ConfigError, match=r"no run is judged: .* has changed since"):
        make_probe_table(again.results_of(again.cells))


def test_what_makes_no_sense_is_refused(data: dict) -> None:
    plain = {"linear": data["corpora"]["linear"]["path"]}
    with pytest.raises(ConfigError, match=r"linear\.whole: says what a probe judges on"):
        Study.parse({**data, "corpora": plain}, "study")
    with pytest.raises(ConfigError, match=r"linear\.whole: says what a probe judges on"):
        Study.parse({**data, "probe": None}, "study")
    with pytest.raises(ConfigError, match="bc has no latent actions, which are compared here"):
        Plan(Study.parse({**data, "algorithms": {"bc": None}, "settings": {}}, "study"), "study")
    itself = {"linear": {**data["corpora"]["linear"], "whole": plain["linear"]}}
    with pytest.raises(ConfigError, match=r"linear\.whole: .* and no others; name a corpus with"):
        Plan(Study.parse({**data, "corpora": itself}, "study"), "study")
    away = {"linear": {**data["corpora"]["linear"], "whole": "nowhere"}}
    with pytest.raises(ConfigError, match=r"corpora\.linear\.whole: nowhere"):
        Plan(Study.parse({**data, "corpora": away}, "study"), "study")
