"""What a probe must offer; every other module of this folder is one.

A module holds ``PLACE``, ``COLUMNS`` and ``measure``. Nothing else registers it; the table has its
columns in the order of ``PLACE``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from lawm_models.probes.evidence import Evidence, Row


class Column(NamedTuple):
    """A figure of every row."""

    name: str
    """Its key in JSON."""
    title: str
    """Its head in a table; short."""
    best: Literal["low", "high", "neither"]
    """What is better."""
    range: str
    """From which value, and what it means, to which."""
    definition: str
    """Exactly what it is."""
    silent: str
    """What it does not say."""
    shown: bool = True
    """Whether it is in the table, or in the JSON alone."""


class ProbeModule(Protocol):
    """A module of this folder, or one that another package brings."""

    PLACE: int
    """Where its columns stand."""
    COLUMNS: tuple[Column, ...]
    """What it measures."""

    def measure(self, row: Row, evidence: Evidence) -> Mapping[str, float]:
        """Figures by the names of columns; what does not apply to a row is left out."""
        ...
