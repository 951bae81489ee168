"""What each package shows of itself."""

import ast
import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import lawm_data
import lawm_models

ROOT = Path(__file__).resolve().parents[1]
FACES = ("lawm_data", "lawm_models")


@pytest.mark.parametrize("face", [lawm_data, lawm_models], ids=FACES)
def test_every_public_name_is_there(face: Any) -> None:
    for name in dir(face):
        assert getattr(face, name) is not None


def test_models_show_what_they_are_for() -> None:
    assert dir(lawm_models) == sorted(lawm_models.__all__)
    assert lawm_models.__version__ == version("lawm")
    for name in set(lawm_models.__all__) - {"__version__"}:
        assert inspect.getdoc(getattr(lawm_models, name))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = lawm_models.trian


def test_no_module_imports_a_face() -> None:
    for folder in (*FACES, "cli"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    assert not {name.name for name in node.names} & set(FACES), path
                if isinstance(node, ast.ImportFrom) and node.module in FACES:
                    rooms = [ROOT / node.module / name.name for name in node.names]
                    assert all(map(Path.is_dir, rooms)), f"{path}:{node.lineno}"
