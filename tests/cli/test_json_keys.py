"""What the commands print is what ``lawm_schemas.outputs`` declares, and so ``docs/json.md``."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from lawm_cli import app, data_app
from lawm_schemas import json_page, outputs
from typer.main import get_command

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"lawm": app, "lawm-data": data_app}


@pytest.fixture
def labels(run, made: Path, corpus: Path) -> dict[str, Any]:
    words = ("relabel", made / "run", "--corpus", corpus, "--name", "idm", "--json")
    return run("lawm", *words).json


def test_collect(require_documented, run, made: Path) -> None:
    words = "collect --env cartpole-swingup --trajectories 6 --num-envs 3 --action-repeat 40"
    result = run("lawm-data", *words.split(), "--out", made / "corpus", "--json")
    require_documented("lawm-data collect", result.json)


def test_info(require_documented, run, labels: dict, corpus: Path) -> None:
    require_documented("lawm-data info", run("lawm-data", "info", corpus, "--stats", "--json").json)


def test_mask(require_documented, run, corpus: Path) -> None:
    words = ("mask", corpus, "--fraction", 0.5, "--name", "half", "--json")
    require_documented("lawm-data mask", run("lawm-data", *words).json)


def test_report(require_documented, run, corpus: Path, tmp_path: Path) -> None:
    words = ("report", corpus, "--out", tmp_path / "page.html", "--clips", 0, "--json")
    require_documented("lawm-data report", run("lawm-data", *words).json)


def test_validate(require_documented, run, corpus: Path) -> None:
    words = ("validate", corpus, "--replay", "--against", corpus, "--json")
    require_documented("lawm-data validate", run("lawm-data", *words).json)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("filter", ["{}", "length > 0"]),
        ("delete", ["{}", "--where", "position == 0"]),
        ("merge", ["{}"]),
        ("tier", ["{}", "--tier", "expert", "--trajectories", "2", "--returns", "0:"]),
        ("split", ["{}", "a=0.5", "b=0.5"]),
    ],
)
def test_derived_corpora(
    require_documented, run, corpus: Path, tmp_path: Path, command: str, words: list[str]
) -> None:
    given = [command, *(word.format(corpus) for word in words), "--out", tmp_path / "out"]
    require_documented(f"lawm-data {command}", run("lawm-data", *given, "--dry-run", "--json").json)


def test_build(require_documented, run, tmp_path: Path) -> None:
    words = ("build", "two-cores", "--out", tmp_path / "out", "--dry-run", "--json")
    require_documented("lawm-data build", run("lawm-data", *words).json)


def test_benchmark_and_table(require_documented, run, made: Path, tmp_path: Path) -> None:
    study = {"corpora": {"cs": str(made / "corpus")}, "algorithms": {"bc": None}, "labels": [0.34]}
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    words = ("benchmark", tmp_path / "study.yaml", "--out", tmp_path / "out", "--dry-run", "--json")
    require_documented("lawm benchmark", run("lawm", *words).json)
    results = ROOT / "benchmarks" / "results" / "tiny.json"
    require_documented("lawm table", run("lawm", "table", results, "--json").json)


def test_train_and_evaluate(require_documented, run, made: Path) -> None:
    words = ("train", made / "run" / "config.yaml", "--out", made / "run", "--json")
    result = run("lawm", *words).json
    require_documented("lawm train", result)
    evaluation = run("lawm", "evaluate", made / "run", "--episodes", 1, "--json").json
    require_documented("lawm evaluate", evaluation)
    assert set(result["evaluation"]) == set(evaluation) - {"run", "video"}


def test_train_of_several_seeds(require_documented, run, made: Path, tmp_path: Path) -> None:
    words = ("train", made / "run" / "config.yaml", "--out", tmp_path / "run", "--seeds")
    result = run("lawm", *words, "4,2", "--json").json
    assert set(result) == {"runs"}
    assert [Path(one["run"]).name for one in result["runs"]] == ["run-4", "run-2"]
    assert [one["seed"] for one in result["runs"]] == [4, 2]
    for one in result["runs"]:
        require_documented("lawm train", one)
    assert "run-4" in run("lawm", *words, "4,2").out
    refused = run("lawm", *words, "4,2", "--seed", 1)
    assert refused.code == 2
    assert "--seeds and --seed" in refused.err
    assert run("lawm", *words, "4,x").code == 2


def test_relabel(require_documented, labels: dict) -> None:
    require_documented("lawm relabel", labels)


def test_import_and_export(
    require_documented, run, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    words = ("export", corpus, "minari:lab/cartpole-v0", "--mask", "third", "--json")
    require_documented("lawm-data export", run("lawm-data", *words).json)
    words = ("import", "minari:lab/cartpole-v0", tmp_path / "out", "--json")
    require_documented("lawm-data import", run("lawm-data", *words).json)


def test_formats(require_documented, run) -> None:
    require_documented("lawm-data formats", run("lawm-data", "formats", "--json").json)


def test_compare_labels(require_documented, run, labels: dict, corpus: Path) -> None:
    words = ("compare-labels", corpus, "--labels", "idm", "--truth-from-withheld", "--json")
    require_documented("lawm compare-labels", run("lawm", *words).json)


@pytest.mark.parametrize("command", outputs.OUTPUTS)
def test_what_is_shown_as_given_can_be_given(command: str) -> None:
    program, name = command.split()
    group: Any = get_command(PROGRAMS[program].app)
    text = json_page.PAGE.read_text(encoding="utf-8")
    text = text.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^- ([^:\n]*)$", text, flags=re.MULTILINE)
    given = {word.strip("`?") for line in lines for word in line.split(", ")}
    assert given <= {parameter.name for parameter in group.commands[name].params}
