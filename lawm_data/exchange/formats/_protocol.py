"""What a foreign format must offer; every other module of this folder is one format.

A module named after the format holds ``ABOUT`` and ``read``, and where it can be written ``locate``
and ``write``. Nothing else registers it: ``lawm-data import NAME:PLACE OUT``, ``export``,
``formats`` and the contract tests find it by its name. Modules whose names begin with ``_`` are
not formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from lawm_schemas import (
    ArraySpec,
    EnvironmentInfo,
    LabelState,
    LatentSet,
    LineageStep,
    Mask,
    Overlay,
    Provenance,
)

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.latents import LatentActions
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.exchange.formats import _settings
from lawm_data.system.progress import Progress

READ_AT_ONCE = 64 << 20
"""Bytes of a corpus that are read before its pages are let go."""
REWARDS_NOTE = "no rewards are stored: they are zero, and metadata says rewards: none"
BOUNDS_NOTE = "no bounds of actions are stored; -1 and 1 were taken, all lie between them"
FINAL_NOTE = (
    "the observation after the last step of a trajectory is not stored: the step was kept, the "
    "observation before it stands in its place, and metadata says final_observation: missing"
)


def nested_note(names: Iterable[str]) -> list[str]:
    """What becomes of arrays that lie in groups, if there are any."""
    nested = [name for name in names if "." in name]
    return [f"in groups of their own: {', '.join(nested)}"] if nested else []


def repeat_last(array: np.ndarray) -> np.ndarray:
    """(T, …) as (T+1, …), for a trajectory with the metadata ``FINAL_MISSING``."""
    return np.concatenate([array, array[-1:]])


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
    """What a round trip keeps: ``observed``; ``missing``; ``withheld`` when the masks of the corpus
    come along; ``inferred`` when the overlay that it is seen through does."""
    partial: bool
    """Whether a trajectory keeps which of its actions are observed."""
    arrays: str
    """``all``: every array with its name, type and bounds. ``state``: the state fields as one
    vector; other arrays are left out."""
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
    latents: bool = False
    """Whether latent actions survive that the corpus is seen with."""
    settings: Mapping[str, str] = {}
    """Settings of ``read`` and ``write`` (``--set``) and what they mean; others are refused."""

    @property
    def exact(self) -> bool:
        """Whether a round trip gives the same corpus, fingerprint included."""
        keeps = {LabelState.observed, LabelState.missing} <= set(self.label_states)
        arrays = self.arrays == "all" and self.pixels == "lossless" and self.final_observation
        return keeps and self.partial and arrays and self.ends == "both" and self.metadata


@dataclass(frozen=True, eq=False)
class Episode:
    """One trajectory between a corpus and a foreign format, in either direction."""

    observations: Mapping[str, np.ndarray]
    """(T+1, *shape) by name; physics too."""
    rewards: np.ndarray
    """(T,)."""
    provenance: Provenance
    actions: np.ndarray | None = None
    """(T, *shape), None when none is observed. What was not recorded is never a number: rows that
    ``action_observed`` leaves out mean nothing."""
    action_observed: np.ndarray | None = None
    """(T,) bool; None means all of ``actions``."""
    terminated: bool = False
    truncated: bool = False
    agent_step: int | None = None
    seed: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    trajectory_id: str | None = None
    """Its id in the corpus that it comes from, when it comes from one."""
    inferred: tuple[np.ndarray, np.ndarray] | None = None
    """Mean and standard deviation of inferred actions, each (T, A) float32; recorded ones may be
    there, too."""
    latents: LatentActions | None = None
    """Latent actions, where they come along."""
    labels: LabelState | None = None
    """On the way out, the state of its actions in the view; on the way in it is not looked at."""

    @property
    def complete(self) -> bool:
        """Whether every action is observed."""
        observed = self.action_observed
        return self.actions is not None and (observed is None or bool(observed.all()))


@dataclass(frozen=True, eq=False)
class Incoming:
    """A foreign data set, opened and checked as far as its headers go."""

    observations: tuple[ArraySpec, ...]
    action: ArraySpec
    trajectories: Iterator[Episode]
    """Read one by one; what is wrong inside one raises when it is reached."""
    count: int | None = None
    """How many there will be, for the progress bar."""
    name: str | None = None
    """What the lineage calls the source, such as the id of a data set; never a private path. None
    takes the last part of the place."""
    files: tuple[Path, ...] = ()
    """The files that are read; the lineage remembers their checksums where that is cheap."""
    environment: EnvironmentInfo | None = None
    licence: str | None = None
    masks: tuple[Mask, ...] = ()
    """Masks that came along; their ``corpus`` fingerprint is set by the door."""
    overlay: Overlay | None = None
    """The description of inferred actions that came along; likewise."""
    latents: LatentSet | None = None
    """That of latent actions; likewise."""
    lineage: tuple[LineageStep, ...] = ()
    """Operations that led to the foreign data, when it knows them."""
    notes: Sequence[str] = ()
    """What was converted or not kept, one sentence each; printed and put in the lineage. May grow
    while ``trajectories`` are read."""
    close: Callable[[], None] = lambda: None
    """Called when nothing more is read, after an error too."""

    def without(self, left: Sequence[str]) -> Incoming:
        """The same data without some of its observations.

        Raises:
            ConfigError: there is no such array, or none is left.
        """
        names = _settings.kept(left, [spec.name for spec in self.observations])
        kept = tuple(spec for spec in self.observations if spec.name in names)

        def trajectories() -> Iterator[Episode]:
            for episode in self.trajectories:
                arrays = {spec.name: episode.observations[spec.name] for spec in kept}
                yield replace(episode, observations=arrays)

        # notes may grow while trajectories are read: a list stays the same one
        notes = self.notes if isinstance(self.notes, list) else list(self.notes)
        notes.append(f"left out: {', '.join(left)}")
        return replace(self, observations=kept, trajectories=trajectories(), notes=notes)


@dataclass(frozen=True, eq=False)
class Outgoing:
    """A view on its way out. Iterating reads its trajectories one by one, in flat memory.

    What the view hides is in none of them.
    """

    view: Corpus
    masks: tuple[Mask, ...]
    """Masks to take along, none when the view is a masked one already."""
    lineage: tuple[LineageStep, ...]
    """That of the corpus, and the step ``export`` with mask and overlay of the view."""
    progress: Progress

    def __len__(self) -> int:
        return len(self.view)

    def __iter__(self) -> Iterator[Episode]:
        sources = self.view.table.provenance.tolist()
        read = 0
        for i, trajectory in enumerate(self.view):
            episode = self._episode(trajectory, sources[i])
            read += sum(array.nbytes for array in episode.observations.values())
            yield episode
            self.progress(i + 1, len(self))
            if read > READ_AT_ONCE:
                for shard in self.view.shards:
                    shard.release_memory()
                read = 0

    def _episode(self, trajectory: Trajectory, source: int) -> Episode:
        manifest, info = self.view.manifest, trajectory.info
        shown = bool(trajectory.action_observed.any())
        return Episode(
            observations=trajectory.arrays(manifest.observations),
            rewards=trajectory.rewards,
            provenance=manifest.provenance[source],
            actions=trajectory.actions if shown else None,
            action_observed=trajectory.action_observed if shown else None,
            terminated=info.terminated,
            truncated=info.truncated,
            agent_step=info.agent_step,
            seed=info.seed,
            metadata=info.metadata,
            trajectory_id=info.id,
            inferred=self.view.inferred_of(info.id),
            latents=trajectory.latents,
            labels=trajectory.labels,
        )


class FormatModule(Protocol):
    """A module of this folder."""

    ABOUT: About

    def read(self, place: str, settings: Mapping[str, Any]) -> Incoming:
        """Open foreign data, distrusting it: sizes before allocating, no pickle, no link outside.

        Args:
            place: what stood behind the colon.
            settings: those of ``ABOUT.settings`` that were given.

        Raises:
            CorpusError: names the file, what is wrong with it and what to do.
            ConfigError: the place or a setting makes no sense; a package is missing.
        """
        ...

    def locate(self, place: str) -> Path:
        """The file or folder that ``write`` makes for a place.

        Raises:
            ConfigError: the place makes no sense, or a package is missing.
        """
        ...

    def write(
        self, outgoing: Outgoing, path: Path, place: str, settings: Mapping[str, Any]
    ) -> Sequence[str]:
        """Write what a view shows.

        A trajectory that the format cannot hold as it is (its actions are missing, say) is left
        out, or a part of it is, and the result says so; it is never filled in.

        Args:
            outgoing: the view.
            path: a temporary name beside ``locate(place)``; its folder exists, it does not. The
                door syncs it to disk and renames it when this returns, and removes it when this
                raises.
            place: what stood behind the colon.
            settings: those of ``ABOUT.settings`` that were given.

        Returns:
            What the format cannot hold and was left out, one sentence each.

        Raises:
            CorpusError: the corpus cannot be written in this format at all.
        """
        ...
