"""The one JSON object that a command prints with ``--json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel


def print_json(data: Mapping[str, Any]) -> None:
    """Print one object on stdout, keys in their order; numbers that JSON lacks become null."""
    told = json.dumps(plain(data), indent=2, allow_nan=False, ensure_ascii=False)
    try:
        told.encode()
    except UnicodeEncodeError:  # a path that is not UTF-8
        told = json.dumps(plain(data), indent=2, allow_nan=False)
    print(told)


def plain(value: Any) -> Any:
    """The same value out of what JSON knows: NumPy, paths and schemas become plain data."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
