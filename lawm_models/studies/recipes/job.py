"""A job: one step of a recipe, for one seed."""

from __future__ import annotations

from typing import Any, NamedTuple

from lawm_schemas.recipe import (
    BESIDE,
    CollectStep,
    FeaturesStep,
    FilterStep,
    MaskStep,
    MergeStep,
    RerenderStep,
    ShippedStep,
    TierStep,
)

AGENT = ".agent"
"""What the folder of a collecting agent adds to the name of its corpus."""
RUN = ".run"
"""What the run that has learned an encoder adds to the name of its features."""
Settings = (
    CollectStep
    | ShippedStep
    | RerenderStep
    | TierStep
    | MergeStep
    | FilterStep
    | MaskStep
    | FeaturesStep
)


class Job(NamedTuple):
    """A step for one seed: makes one corpus, or one thing beside a corpus."""

    name: str
    """``CORPUS``, or ``CORPUS@NAME``."""
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
        """The corpus that it makes, or writes beside."""
        return self.name.partition("@")[0]

    @property
    def beside(self) -> str | None:
        """Name of the mask or the features that it writes beside a corpus; else none."""
        return self.name.partition("@")[2] if self.operation in BESIDE else None
