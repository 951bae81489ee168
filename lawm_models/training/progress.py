"""How training tells whoever watches how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Something that shows progress, such as a bar."""

    def start(self, stage: str, total: int) -> None:
        """A stage of ``total`` steps begins, or goes on; ends the one before."""
        ...

    def advance(self, steps: int, metrics: Mapping[str, float]) -> None:
        """So many more steps are done; ``metrics`` is the last line of the log, or empty."""
        ...

    def stop(self) -> None:
        """Nothing more will come."""
        ...


class Silent:
    """A ``Progress`` that shows nothing."""

    def start(self, stage: str, total: int) -> None:
        """See ``Progress.start``."""

    def advance(self, steps: int, metrics: Mapping[str, float]) -> None:
        """See ``Progress.advance``."""

    def stop(self) -> None:
        """See ``Progress.stop``."""
