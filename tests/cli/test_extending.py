"""The package of ``docs/extending.md``, installed as pip would, used through the commands."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from lawm_data import open_corpus
from lawm_models.algorithms import ALGORITHMS
from lawm_models.training.run_folder import RunFolder

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
TEXT = PAGE.read_text(encoding="utf-8")
CSV = "o1,o2,a1,r\n0,1,0.5,1\n1,2,,2\n2,3,,\n"


@pytest.fixture
def package(install: Callable[..., Path]) -> None:
    """Every code block is a file, which its first line names; one says what is in the package."""
    blocks = re.findall(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```", TEXT, re.M | re.S)
    files = {name: f"\n{text}" for name, text in blocks}
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    install(f"{project['name']} {project['version']}", files, project["entry-points"])


@pytest.mark.parametrize("title", ["An algorithm", "A format", "An environment"])
def test_each_is_short(title: str) -> None:
    (section,) = re.findall(rf"^(## {title}\n.*?)(?=^## )", TEXT, re.M | re.S)
    assert section.count("\n") <= 60


@pytest.mark.usefixtures("package")
def test_the_commands_of_the_page(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "1.csv").write_text(CSV)
    (lines,) = re.findall(r"^## And used\n+```\n(.*?)```", TEXT, re.M | re.S)
    for line in lines.splitlines():
        result = run(*line.split())
        assert (result.code, result.err.count("defect")) == (0, 0), (line, result.err)
    corpus = open_corpus("corpora/track")
    assert corpus.manifest.environment is not None
    assert (corpus.manifest.environment.suite, len(corpus)) == ("track", 20)
    assert corpus.manifest.environment.action_repeat == 2
    assert corpus.manifest.provenance[0].versions["my-lab"] == "1.0"
    trained = RunFolder.open(tmp_path / "runs" / "linear")
    assert trained.config.steps == {"agent": 2000}
    assert trained.config.window == 16  # of the preset small
    assert trained.record.versions["my-lab"] == "1.0"
    errors = [entry["error"] for entry in trained.metrics() if "error" in entry]
    assert errors[-1] < errors[0]
    imported = open_corpus("corpora/recordings")[0]
    assert imported.action_observed.tolist() == [True, False]
    assert imported.rewards.tolist() == [1, 2]


@pytest.mark.slow
@pytest.mark.usefixtures("package")
def test_masks_audit_and_studies_know_it(run, tmp_path: Path) -> None:
    corpus = tmp_path / "track"
    words = ("collect", "--env", "track:center", "--trajectories", 6, "--num-envs", 3)
    assert run("lawm-data", *words, "--out", corpus).code == 0
    assert run("lawm-data", "mask", corpus, "--fraction", 0.5, "--name", "half").code == 0
    study = tmp_path / "study.yaml"
    study.write_text(
        f"corpora: {{track: {corpus}}}\n"
        "algorithms: {linear: {}, bc: {settings: {steps.agent: 3}}}\n"
        "labels: [half]\npreset: small\n"
        "settings: {batch_size: 4, window: 5, evaluation_episodes: 1}\n"
    )
    result = run("lawm", "benchmark", study, "--out", tmp_path / "out", "--workers", 1)
    assert result.code == 0, result.err
    table = run("lawm", "table", tmp_path / "out" / "results.json").out
    assert "Linear (mask half)" in table
    assert "BC (mask half)" in table
    trained = next((tmp_path / "out").glob("**/linear-*/config.yaml")).parent
    assert run("lawm", "audit", trained).code == 0
    again = ("collect", "--env", "track:center", "--agent", trained, "--trajectories", 2)
    assert run("lawm-data", *again, "--out", tmp_path / "again").code == 0
    assert run("lawm-data", "validate", tmp_path / "again").code == 0


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "lawm train --corpus c --algorithm linear --preset paper --out r",
            "says nothing about",
        ),
        (
            "lawm train --corpus c --algorithm liner --out r",
            "nearest: linear; known ones: acwm, autoencoder, bc",
        ),
        ("lawm-data collect --env track:line --out c", "track:line: no such task; give"),
        ("lawm-data collect --env track:center --pixels 8 --out c", "cannot be drawn"),
        ("lawm-data import csv:{here} c", "holds no CSV file"),
        ("lawm-data import cvs:{here} c", "no format 'cvs'; nearest: csv"),
        ("lawm-data export {here} csv:x", "cannot be exported"),
    ],
)
def test_mistakes_are_one_line(run, tmp_path: Path, words: str, line: str) -> None:
    if "export" in words:
        pole = ("collect", "--env", "track:center", "--trajectories", 1, "--out", tmp_path / "c")
        assert run("lawm-data", *pole).code == 0
    result = run(*words.format(here=tmp_path / "c" if "export" in words else tmp_path).split())
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert line in result.err


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("lawm train", "Linear: behaviour cloning by one linear layer"),
        ("lawm-data collect", "track Carts on a track, pushed to the left or right (my-lab 1.0)"),
    ],
)
def test_help_names_them_without_importing_them(words: str, wanted: str) -> None:
    program, command = words.split()
    module = {"lawm": "app", "lawm-data": "data_app"}[program]
    code = (
        f"import sys; from lawm_cli.{module} import main; main(['{command}', '--help'])\n"
        "assert not {'torch', 'my_lab.linear', 'my_lab.track', 'gymnasium'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert wanted in " ".join(done.stdout.split())


def test_the_first_screen_looks_at_no_other_package() -> None:
    code = (
        "import sys; from lawm_cli import app, data_app\n"
        "app.main(['--help']); data_app.main(['--help'])\n"
        "registry = sys.modules.get('lawm_data.system.registry')\n"
        "assert registry is None or not registry._entry_points.cache_info().misses"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_broken_is_told_beside_the_rest(run, install: Callable[..., Path]) -> None:
    files = {"lab/__init__.py": "", "lab/broken.py": "import nowhere_to_be_found"}
    points = {
        "lawm.formats": {"own": "lab.broken", "minari": "lab.broken"},
        "lawm.algorithms": {"bc": "lab.broken", "best": "lab.gone"},
    }
    install("lab 2.0", files, points)
    shown = run("lawm-data", "formats")
    assert shown.code == 0
    assert "minari:namespace/name-v0" in shown.out
    lines = shown.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["warning", "warning"]
    assert all("lab 2.0" in line for line in lines)
    text = " ".join(run("lawm", "train", "--help").out.split())
    assert "warning: algorithm 'bc': that of lab 2.0 is not used, lawm has one" in text
    assert "best cannot be used (ModuleNotFoundError: No module named 'lab.gone') (lab 2.0)" in text
    assert ALGORITHMS.load("bc").__name__ == "lawm_models.algorithms.bc"
    result = run("lawm", "train", "--corpus", "c", "--algorithm", "best", "--out", "r")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "algorithm 'best' of lab 2.0: cannot be used (" in result.err
