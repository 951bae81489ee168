import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("lawm_data", "lawm_models", "cli", "schemas")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
VAGUE = {"utils", "util", "common", "helpers", "helper", "misc", "base_utils"}


def test_imports_point_downwards() -> None:
    # A process of its own: the linter changes logging and streams of the one it runs in.
    code = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_says_what_it_owns(path: Path) -> None:
    assert not VAGUE & set(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("lawm_schemas", ["torch", "h5py", "lawm_data"]),
        ("lawm_data", ["torch", "dm_control", "mujoco", "matplotlib", "lawm_models"]),
        ("lawm_models", ["torch", "numpy", "h5py", "matplotlib", "lawm_data"]),
        (
            "lawm_data.exchange.hub",
            ["torch", "matplotlib", "huggingface_hub", "pyarrow", "datasets"],
        ),
        ("lawm_cli.app", ["torch", "dm_control", "mujoco", "h5py", "numpy", "pydantic", "rich"]),
        ("lawm_cli.data_app", ["torch", "mujoco", "h5py", "numpy", "pydantic", "rich"]),
    ],
)
def test_importing_stays_cheap(module: str, absent: list[str]) -> None:
    code = f"import {module}, sys; print(*sorted(set({absent!r}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_nothing_is_pickled() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        # tensors of others, by a reader that runs no code
        text = re.sub(r"torch\.load\([^()]*(\([^()]*\))?[^()]*weights_only=True", "", text)
        for word in ("torch.save(", "torch.load(", "import pickle", "allow_pickle=True"):
            assert word not in text, f"{path.relative_to(ROOT)} has {word}"
