"""A job: one step of a recipe, for one seed."""

from __future__ import annotations

from typing import Any, NamedTuple

from lawm_schemas.recipe import CollectStep, FilterStep, MaskStep, MergeStep, TierStep

AGENT = ".agent"
"""What the folder of a collecting agent adds to the name of its corpus."""
Settings = CollectStep | TierStep | MergeStep | FilterStep | MaskStep


class Job(NamedTuple):
    """A step for one seed: makes one corpus, or one mask."""

    name: str
    """``CORPUS``, or ``CORPUS@MASK``."""
    operation: str
    """The command, such as ``collect``."""
    settings: Settings
    """Without ``{seed}``."""
    inputs: tuple[str, ...]
    """Names of the jobs whose corpora it uses."""
    together: str | None = None
    """Jobs in which this is the same collect for several seeds at once: the name without seed."""

    def plain(self) -> dict[str, Any]:
        """The settings as plain data."""
        return self.settings.model_dump(mode="json")

    @property
    def corpus(self) -> str:
        """The corpus that it makes, or makes a mask of."""
        return self.name.partition("@")[0]
