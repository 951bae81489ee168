"""What each package shows of itself."""

import ast
from pathlib import Path

import lawm_data

ROOT = Path(__file__).resolve().parents[1]
FACES = ("lawm_data", "lawm_models")


def test_every_public_name_is_there() -> None:
    for name in dir(lawm_data):
        assert getattr(lawm_data, name) is not None


def test_no_module_imports_a_face() -> None:
    for folder in (*FACES, "cli"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    assert not {name.name for name in node.names} & set(FACES), path
                if isinstance(node, ast.ImportFrom) and node.module in FACES:
                    rooms = [ROOT / node.module / name.name for name in node.names]
                    assert all(map(Path.is_dir, rooms)), f"{path}:{node.lineno}"
