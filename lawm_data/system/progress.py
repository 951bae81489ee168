"""How far a long operation is, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

Progress = Callable[[int, int | None], None]
"""Called with how much is done, and of how much; None where the total is not known."""


def silent(done: int, total: int | None) -> None:
    """A ``Progress`` that shows nothing."""


class ProgressBar(Protocol):
    """Shows an operation of several stages, as ``lawm_data.system.terminal.Bars`` does."""

    def start(self, stage: str, total: int) -> None:
        """A stage of ``total`` parts begins, or goes on; it ends the one before."""
        ...

    def reach(self, done: int, metrics: Mapping[str, float] | None = None) -> None:
        """So many parts of the stage are done; ``metrics`` are shown beside."""
        ...

    def stop(self) -> None:
        """Nothing more will come."""
        ...


class NoBar:
    """A ``ProgressBar`` that shows nothing."""

    def start(self, stage: str, total: int) -> None:
        """See ``ProgressBar.start``."""

    def reach(self, done: int, metrics: Mapping[str, float] | None = None) -> None:
        """See ``ProgressBar.reach``."""

    def stop(self) -> None:
        """See ``ProgressBar.stop``."""
