"""An empty Hub for one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import TOKEN, Hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """An empty Hub, to which the client of this process and of its children talks."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with Hub() as running:
        for name, value in {
            "HF_ENDPOINT": running.url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "LAWM_CACHE": str(tmp_path / "cache"),
        }.items():
            monkeypatch.setenv(name, value)
        # The client has read this when it was imported, perhaps by another test.
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield running
