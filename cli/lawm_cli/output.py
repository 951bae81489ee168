"""The one JSON object that a command prints with ``--json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def print_json(data: Mapping[str, Any]) -> None:
    """Print one object on stdout, keys in their order; numbers that JSON lacks become null."""
    from lawm_schemas.base import plain

    text = json.dumps(plain(data), indent=2, allow_nan=False, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a path that is not UTF-8
        text = json.dumps(plain(data), indent=2, allow_nan=False)
    print(text)
