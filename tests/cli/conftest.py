"""The keys that commands print, as they are documented."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


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
