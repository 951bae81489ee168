"""Strict JSON: no key twice, no NaN, no infinity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lawm_schemas.errors import ConfigError

_RESTORE = "restore the file from a copy"


def parse_json(text: str | bytes, where: str, finite: bool = True) -> Any:
    """Read one JSON document.

    Args:
        text: the document.
        where: what it is called in messages.
        finite: refuse NaN and infinity, which some programs write all the same.

    Raises:
        ConfigError: not JSON, or a key stands twice.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice")
        return found

    def refuse(token: str) -> float:
        raise ValueError(f"{token} is not JSON")

    try:
        constant = refuse if finite else None
        return json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is not JSON ({error})"[:200], where, _RESTORE) from None


def load_json(path: Path) -> Any:
    """Read a JSON file; see ``parse_json``."""
    try:
        # a device, or a pipe that nobody writes to, has no end
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ConfigError("is no regular file", str(path), _RESTORE)
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("no such file", str(path), "check the path") from None
    except IsADirectoryError:
        raise ConfigError("is a folder, not a JSON file", str(path), "move it away") from None
    except UnicodeDecodeError:
        raise ConfigError("is not JSON (it is not UTF-8)", str(path), _RESTORE) from None
    except OSError as error:  # no permission, or a link to itself
        what = f"cannot be read ({error.strerror})"
        raise ConfigError(what, str(path), "check the path") from None
    return parse_json(text, str(path))
