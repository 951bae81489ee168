"""Values as people read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))
"""Units of sizes, the largest first."""


def text(value: Any) -> str:
    """A value for people: thousands apart, four digits, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " ".join(text(item) for item in value)
    return str(value)


def near(path: Path | str) -> str:
    """A path as people write it: relative, where it is below the current folder."""
    here = f"{Path.cwd()}/"
    return str(path).removeprefix(here)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def size(total: int, shards: int) -> str:
    """Bytes in files, in words."""
    unit, name = next((u for u in UNITS if total >= u[0]), UNITS[-1])
    return f"{total / unit:,.3g} {name} in {shards:,} {'shard' if shards == 1 else 'shards'}"
