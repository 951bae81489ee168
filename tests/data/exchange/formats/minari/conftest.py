"""Minari datasets, written by Minari itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The helpers stand beside the tests, which are no package.
sys.path.append(str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"
