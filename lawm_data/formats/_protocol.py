"""What a foreign format must offer; every other module of this folder is one format.

A module named after the format holds ``ABOUT`` and ``read``, and where it can be written ``locate``
and ``write``. Nothing else registers it: ``lawm-data import NAME:PLACE OUT``, ``export``,
``formats`` and the contract tests find it by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from lawm_schemas import ArraySpec, EnvironmentInfo, LabelState, Mask, Provenance

from lawm_data.corpus import Corpus


class About(NamedTuple):
    """One row of ``lawm-data formats``; each cell is proved by a contract test."""

    title: str
    """Name, version and storage, e.g. ``Minari 0.5, HDF5 storage``."""
    place: str
    """What stands behind the colon of an address, e.g. ``FOLDER`` or ``namespace/name-v0``."""
    extra: str | None
    """Extra of this package that brings what the format needs, or none."""
    reads: bool
    """Whether it can be imported."""
    writes: bool
    """Whether it can be exported."""
    label_states: tuple[LabelState, ...]
    """Label states that a round trip keeps."""
    alignment: str
    """``a_t leaves o_t`` or ``a_t enters o_t``, as the format stores it."""
    final_observation: bool
    """Whether o_T survives a round trip (or is in the files that are read)."""
    ends: str
    """How it tells terminated from truncated: ``both``, ``terminated`` or ``none``."""
    pixels: str
    """``lossless``, ``lossy`` or ``none``."""
    metadata: bool
    """Whether ids, provenance, seeds and metadata of trajectories survive."""
    streaming: bool
    """Whether memory stays flat, however large the data is."""


@dataclass(frozen=True, eq=False)
class Arriving:
    """One trajectory on its way in; the arguments of ``CorpusWriter.add``."""

    observations: Mapping[str, np.ndarray]
    """(T+1, *shape) by name."""
    rewards: np.ndarray
    """(T,)."""
    provenance: Provenance
    actions: np.ndarray | None = None
    """(T, *shape), None when none is there. What was not recorded is never a number."""
    action_observed: np.ndarray | None = None
    """(T,) bool when only some are there."""
    terminated: bool = False
    truncated: bool = False
    agent_step: int | None = None
    seed: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    trajectory_id: str | None = None
    """Given when the source was written by us and knows it."""


@dataclass(frozen=True, eq=False)
class Incoming:
    """A foreign data set, opened and checked as far as its headers go."""

    observations: tuple[ArraySpec, ...]
    action: ArraySpec
    trajectories: Iterator[Arriving]
    """Read one by one; what is wrong inside one raises when it is reached."""
    count: int | None = None
    """How many there will be, for the progress bar."""
    environment: EnvironmentInfo | None = None
    licence: str | None = None
    masks: tuple[Mask, ...] = ()
    """Masks that came along; their ``corpus`` fingerprint is set by the door."""
    said: Sequence[str] = ()
    """What was converted or not kept, one sentence each; printed and put in the lineage."""


Progress = Callable[[int, int | None], None]
"""Called with how many trajectories are done, and of how many."""


class FormatModule(Protocol):
    """A module of this folder."""

    ABOUT: About

    def read(self, place: str, settings: Mapping[str, Any]) -> Incoming:
        """Open foreign data, distrusting it: sizes before allocating, no pickle, no link outside.

        Raises:
            CorpusError: names the file, what is wrong with it and what to do.
            ConfigError: the place or a setting makes no sense; a package is missing.
        """
        ...

    def locate(self, place: str) -> Path:
        """The file or folder that ``write`` makes for a place."""
        ...

    def write(self, corpus: Corpus, path: Path, place: str, progress: Progress) -> Sequence[str]:
        """Write what a view shows to ``path``, a temporary name that the door renames when done.

        Returns:
            What the format cannot hold and was left out, one sentence each.
        """
        ...
