"""What importing and exporting tell."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Imported(NamedTuple):
    """A corpus that was imported, or with ``dry_run`` what is known of it beforehand."""

    path: Path
    source: str
    trajectories: int | None
    """None in a dry run when the format does not tell."""
    steps: int | None
    fingerprint: str | None
    masks: tuple[str, ...]
    overlays: tuple[str, ...]
    said: tuple[str, ...]
    """What was converted or not kept."""


class Exported(NamedTuple):
    """What was written in a foreign format, or with ``dry_run`` what would be."""

    path: Path | None
    """None on the Hub."""
    address: str
    trajectories: int
    steps: int
    masks: tuple[str, ...]
    said: tuple[str, ...]
    """What the format could not hold and was left out, and what else stayed behind."""
