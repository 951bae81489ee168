"""What each package shows of itself."""

import ast
import importlib
from importlib.metadata import version
from pathlib import Path

import pytest

import lawm_data

ROOT = Path(__file__).resolve().parents[1]
FACES = ("lawm_data", "lawm_models")


def test_every_public_name_is_there() -> None:
    assert dir(lawm_data) == sorted(lawm_data.__all__)
    for name in dir(lawm_data):
        assert getattr(lawm_data, name) is not None
    assert lawm_data.__version__ == version("lawm")
    with pytest.raises(AttributeError, match=r"'lawm_data' has no attribute 'open'"):
        lawm_data.open  # noqa: B018


def test_editors_know_every_public_name() -> None:
    """What is looked up at run time is what type checkers are told."""
    tree = ast.parse(Path(lawm_data.__file__).read_text(encoding="utf-8"))
    told = {
        name.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.name == name.asname
    }
    assert {*told, "__version__"} == set(lawm_data.__all__)
    for name, module in told.items():
        assert getattr(importlib.import_module(str(module)), name) is getattr(lawm_data, name)


def test_no_module_imports_a_face() -> None:
    for folder in (*FACES, "cli"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    assert not {name.name for name in node.names} & set(FACES), path
                if isinstance(node, ast.ImportFrom) and node.module in FACES:
                    rooms = [ROOT / node.module / name.name for name in node.names]
                    assert all(map(Path.is_dir, rooms)), f"{path}:{node.lineno}"
