"""What each package shows of itself."""

import ast
import importlib
import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lawm_schemas
import pytest

import lawm_data
import lawm_models

ROOT = Path(__file__).resolve().parents[1]
FACES = ("lawm_data", "lawm_models")


@pytest.mark.parametrize("face", [lawm_data, lawm_models, lawm_schemas])
def test_every_public_name_is_there(face: Any) -> None:
    assert dir(face) == sorted(face.__all__)
    for name in dir(face):
        assert name.isupper() or inspect.getdoc(getattr(face, name))
    if face is not lawm_schemas:
        assert face.__version__ == version("lawm")
    with pytest.raises(AttributeError, match=rf"'{face.__name__}' has no attribute 'open'"):
        face.open  # noqa: B018


@pytest.mark.parametrize("face", [lawm_data, lawm_models, lawm_schemas])
def test_editors_know_every_public_name(face: Any) -> None:
    """What is looked up at run time is what type checkers are told."""
    tree = ast.parse(Path(face.__file__).read_text(encoding="utf-8"))
    known = {
        name.asname or name.name: (node.module, name.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module not in ("__future__", "typing")
        for name in node.names
    }
    assert {*known, "__version__"} == {*face.__all__, "__version__"}
    for name, (module, there) in known.items():
        assert getattr(importlib.import_module(str(module)), there) is getattr(face, name)


def test_no_module_imports_a_face() -> None:
    for folder in (*FACES, "cli"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    assert not {name.name for name in node.names} & set(FACES), path
                if isinstance(node, ast.ImportFrom) and node.module in FACES:
                    rooms = [ROOT / node.module / name.name for name in node.names]
                    assert all(map(Path.is_dir, rooms)), f"{path}:{node.lineno}"
