import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
TOP = {"lawm_cli", "lawm_data", "lawm_models", "lawm_schemas"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = ["build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    _python("-m", *command, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    folder = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _python(*words: str, cwd: Path, path: Path | None = None) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path:
        environment["PYTHONPATH"] = str(path)
    run = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr or run.stdout
    return run.stdout


def test_wheel_has_only_our_top_level_names(site: Path) -> None:
    names = {path.name for path in site.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == TOP


def test_wheel_contents_are_sound(wheel: Path) -> None:
    config = str(ROOT / "pyproject.toml")
    _python("-m", "check_wheel_contents", "--config", config, str(wheel), cwd=wheel.parent)


@pytest.mark.parametrize("container", ["cli", "schemas"])
def test_containers_are_not_packages(container: str) -> None:
    assert not (ROOT / container / "__init__.py").exists()


@pytest.mark.parametrize("package", sorted(TOP))
def test_packages_are_typed(site: Path, package: str) -> None:
    assert (site / package / "py.typed").is_file()


def test_wheel_carries_presets_and_the_shipped_corpus(site: Path) -> None:
    presets = {
        path.stem for path in (site / "lawm_models" / "training" / "presets").rglob("*.yaml")
    }
    assert {"paper", "small", "demo"} <= presets
    corpus = site / "lawm_data" / "shipped" / "cartpole-swingup"
    assert (corpus / "corpus.json").is_file()
    assert list((corpus / "shards").glob("*.h5"))
    assert not [path for path in site.rglob("*") if path.suffix in {".pyc", ".lock"}]


def test_wheel_carries_the_page_of_the_report(site: Path) -> None:
    page = site / "lawm_data" / "inspection" / "report"
    assert {"page.html", "page.css", "page.js", "lineage.js"} <= {
        path.name for path in page.iterdir()
    }


@pytest.mark.parametrize("module", ["lawm_cli.app", "lawm_cli.data_app"])
def test_commands_start_from_the_wheel_alone(site: Path, module: str) -> None:
    code = f"import {module} as app; print(app.__file__); raise SystemExit(app.main(['--help']))"
    out = _python("-c", code, cwd=site.parent, path=site)
    assert out.startswith(str(site))
    assert "Usage" in out


def test_checkout_runs_by_name() -> None:
    assert "Usage: lawm" in _python("-m", "cli", "--help", cwd=ROOT)


@pytest.mark.parametrize("oldest", [True, False])
def test_the_constraints_are_within_the_declared_bounds(oldest: bool) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    lines = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    lines += [line for name in extras if name not in ("all", "bench") for line in extras[name]]
    text = (ROOT / f"constraints{'-oldest' if oldest else ''}.txt").read_text()
    pins = dict(line.split("==") for line in text.splitlines() if not line.startswith("#"))
    versions = {canonicalize_name(name): Version(version) for name, version in pins.items()}
    for requirement in map(Requirement, lines):
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement
        if oldest:
            lowest = [Version(s.version) for s in requirement.specifier if s.operator == ">="]
            assert lowest == [version], requirement
