"""Commands run in this process, and a small corpus and run made by them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lawm_cli import app, data_app
from lawm_schemas.outputs import OUTPUTS

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
def require_documented() -> Callable[[str, dict[str, Any]], None]:
    """Check that a command printed what is declared of it: every key, and of the right type."""

    def check(command: str, printed: dict[str, Any]) -> None:
        read = OUTPUTS[command].model_validate_json(json.dumps(printed), strict=True)
        assert read.model_dump(mode="json", by_alias=True) == printed

    return check
