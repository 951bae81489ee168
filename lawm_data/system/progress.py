"""How far a long operation is, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""Called with how much is done, and of how much; None where the total is not known."""


def silent(done: int, total: int | None) -> None:
    """A ``Progress`` that shows nothing."""
