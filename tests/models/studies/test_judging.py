"""A study that is judged by the probe: what it finds is what ``lawm probe`` finds of its runs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import ConfigError, Results, Study

from lawm_data import open_corpus
from lawm_data.curation.derive import derive
from lawm_models.probes.probe import probe
from lawm_models.probes.result import Settings
from lawm_models.studies.benchmark import StudyState, benchmark
from lawm_models.studies.judging import Panel, judge_panel
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
    panel = Panel(("linear", 0.5, 0), runs, train, None, study)
    judged = judge_panel(panel)
    assert "no trajectory is held out" in (judged.error or "")
    assert (judged.figures, judged.anchors) == ({}, ())
    cells = [cell.model_copy(update={"figures": None}) for cell in results.cells]
    with pytest.raises(ConfigError, match="no run is judged"):
        make_probe_table(results.model_copy(update={"cells": tuple(cells)}))


def test_what_makes_no_sense_is_refused(data: dict) -> None:
    plain = {"linear": data["corpora"]["linear"]["path"]}
    with pytest.raises(ConfigError, match=r"linear\.whole: says what a probe judges on"):
        Study.parse({**data, "corpora": plain}, "study")
    with pytest.raises(ConfigError, match=r"linear\.whole: says what a probe judges on"):
        Study.parse({**data, "probe": None}, "study")
    with pytest.raises(ConfigError, match="bc has no latent actions, which are compared here"):
        Plan(Study.parse({**data, "algorithms": {"bc": None}, "settings": {}}, "study"), "study")
    away = {"linear": {**data["corpora"]["linear"], "whole": "nowhere"}}
    with pytest.raises(ConfigError, match=r"corpora\.linear\.whole: nowhere"):
        Plan(Study.parse({**data, "corpora": away}, "study"), "study")
