"""A mask: which trajectories keep their recorded actions."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import Field, field_validator

from lawm_schemas.base import Checksummed


class Mask(Checksummed):
    """``masks/NAME.json``. Everything not listed under ``labeled`` is withheld."""

    name: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.-]{0,99}$")
    """Name of the mask and of its file."""
    corpus: str
    """Fingerprint of the corpus it belongs to."""
    fraction: float = Field(gt=0, le=1)
    """Share of trajectories (or steps) that keeps its actions."""
    seed: int
    """Key of the ranking; with one seed smaller fractions are subsets of larger ones."""
    by: Literal["trajectories", "steps"] = "trajectories"
    """What the fraction counts."""
    stratify: Literal["return", "source"] | None = None
    """Strata that each get their share, or none."""
    where: str | None = None
    """What chose the trajectories instead of a draw: an expression, or ``ids`` for a list of them;
    the fraction is then their share, and the seed means nothing."""
    chosen_from: str | None = None
    """Fingerprint of the corpus, or part of it, that the choice was made from; other than
    ``corpus`` where trajectories have left or come since. Older masks do not say."""
    labeled: tuple[str, ...] = Field(min_length=1, repr=False)
    """Ids of the trajectories that keep their actions, in corpus order."""

    @field_validator("labeled")
    @classmethod
    def _once(cls, labeled: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labeled)) < len(labeled):
            (twice, _), *_ = Counter(labeled).most_common(1)
            raise ValueError(f"trajectory {twice} stands twice")
        return labeled
