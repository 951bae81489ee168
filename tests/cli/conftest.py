"""Commands run in this process, and a small corpus and run made by them."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lawm_cli import app, data_app

PROGRAMS = {"lawm": app.main, "lawm-data": data_app.main}
TINY = ("steps.agent=3", "batch_size=4", "window=5", "evaluation_episodes=1")


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out, parse_constant=pytest.fail)


def words_of(line: str) -> list[str]:
    return [word for setting in TINY for word in ("--set", setting)] if line == "TINY" else [line]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command line, given as words; ``TINY`` stands for the settings of a tiny training."""

    def call(program: str, *words: object) -> Result:
        capsys.readouterr()
        code = PROGRAMS[program]([part for word in words for part in words_of(str(word))])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``corpus``: six trajectories of 25 steps with mask ``third``; ``run``: a tiny training."""
    folder = tmp_path_factory.mktemp("made")
    collect = "collect --env cartpole-swingup --trajectories 6 --num-envs 3 --action-repeat 40"
    assert data_app.main([*collect.split(), "--out", str(folder / "corpus")]) == 0
    mask = f"mask {folder}/corpus --fraction 0.34 --name third"
    assert data_app.main(mask.split()) == 0
    train = f"train --corpus {folder}/corpus@third --algorithm bc --preset demo --out {folder}/run"
    assert app.main([*train.split(), *words_of("TINY")]) == 0
    return folder


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Path:
    """A copy of the corpus."""
    return Path(shutil.copytree(made / "corpus", tmp_path / "corpus"))


@pytest.fixture
def trained(made: Path, tmp_path: Path) -> Path:
    """A copy of the run; its corpus is in ``made``."""
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


@pytest.fixture
def documented() -> Callable[[str], set[str]]:
    """The dotted keys of a command's table in ``docs/json.md``."""
    path = Path(__file__).resolve().parents[2] / "docs" / "json.md"
    text = path.read_text(encoding="utf-8")

    def keys(command: str) -> set[str]:
        (section,) = re.findall(rf"^## {command}$(.*?)(?=^## |\Z)", text, re.M | re.S)
        return set(re.findall(r"^\| `([\w.]+)` \|", section, re.M))

    return keys


@pytest.fixture
def require_documented(documented: Callable[[str], set[str]]) -> Callable[..., None]:
    """Check that an object has the documented keys, and they theirs where these are documented."""

    def check(command: str, printed: dict[str, Any], *inherited: str) -> None:
        keys = set().union(*map(documented, (command, *inherited)))
        assert set(printed) == {key.split(".")[0] for key in keys}
        for parent in {key.rpartition(".")[0] for key in keys} - {""}:
            inside: Any = printed
            for part in parent.split("."):
                inside = next(iter(inside.values())) if part == "NAME" else inside[part]
            below = {key.removeprefix(f"{parent}.") for key in keys if key.startswith(f"{parent}.")}
            assert {key.split(".")[0] for key in below} in ({"NAME"}, set(inside)), parent

    return check
