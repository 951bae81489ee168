"""The table of trajectories: one array per column, one entry per trajectory."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from lawm_schemas import CorpusError, LabelState, TrajectoryInfo

from lawm_data.system.dataframe import Column, to_arrow, to_pandas
from lawm_data.system.notebook import grid

if TYPE_CHECKING:
    import pandas
    import pyarrow

ID_BYTES = 24
"""Longest trajectory id on disk."""

COLUMNS: dict[str, str] = {
    "id": f"S{ID_BYTES}",
    "ordinal": "<i8",
    "length": "<i8",
    "row": "<i8",
    "action_row": "<i8",
    "num_observed": "<i8",
    "labels": "|u1",
    "terminated": "|u1",
    "truncated": "|u1",
    "episode_return": "<f8",
    "provenance": "<i4",
    "agent_step": "<i8",
    "seed": "<i8",
}
"""Columns of ``table/`` in a shard, with their types; ``digest`` (32 bytes a row) comes extra."""
SEEDED = "seeded"
"""One more column, uint8, in shards that hold a seed of 2**63 or more; see ``stored_seeds``."""

LABEL_STATES = (
    LabelState.observed,
    LabelState.withheld,
    LabelState.missing,
    LabelState.inferred,
)
"""A label state's place here is its code in ``Table.labels``."""
OBSERVED, WITHHELD, MISSING, INFERRED = range(4)
NO_REWARDS = {"rewards": "none"}
"""Metadata of a trajectory whose rewards were never recorded: its zeros mean nothing."""
FINAL_MISSING = {"final_observation": "missing"}
"""Metadata of a trajectory of which nobody recorded where its last step led: its last observation
repeats the one before it."""
_NOT_COLUMNS = ("sources", "metadata")
SHOWN = 5
"""Rows of either end that a notebook shows."""


def stored_seeds(seed: np.ndarray, seeded: np.ndarray) -> dict[str, np.ndarray]:
    """The columns that hold seeds of 64 bits without a sign; ``read_seeds`` reads them.

    ``seed`` is int64 and -1 where there is none. A seed of 2**63 or more stands in it as the
    negative number with the same bits, and ``seeded`` is there then, and tells it from none.

    Args:
        seed: (N,) uint64.
        seeded: (N,) bool: which of them are seeds.
    """
    bits = np.where(seeded, seed.view(np.int64), -1)
    if (bits[seeded] >= 0).all():
        return {"seed": bits}
    return {"seed": bits, SEEDED: seeded.astype(np.uint8)}


def read_seeds(seed: np.ndarray, seeded: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Seeds (N,) uint64, 0 where there is none, and (N,) bool: where there is one.

    Args:
        seed: the column of this name.
        seeded: likewise; None where there is no such column.
    """
    known = seed >= 0 if seeded is None else seeded != 0
    return np.where(known, seed, 0).view(np.uint64), known


class Index(NamedTuple):
    """Where the arrays of each trajectory of a view are; what a loader needs, and no more."""

    length: np.ndarray
    """(N,) int64: steps T."""
    shard: np.ndarray
    """(N,) int32: place in ``Corpus.shards``."""
    row: np.ndarray
    """(N,) int64: first of T+1 rows in the shard's ``steps`` and ``fields``."""
    action_row: np.ndarray
    """(N,) int64: first of T rows in the shard's ``actions``; -1 where this view shows none."""
    partial: np.ndarray
    """(N,) bool: some, but not all, of those actions are observed."""
    position: np.ndarray
    """(N,) int64: place in the whole corpus."""


@dataclass(frozen=True, eq=False)
class MetadataColumn:
    """Free-form JSON of trajectories, unparsed."""

    blobs: tuple[np.ndarray, ...]
    """Per shard, uint8: the JSON of all its trajectories, one after the other."""
    shard: np.ndarray
    """(N,) int32: place in ``blobs``."""
    start: np.ndarray
    """(N,) int64: first byte of a trajectory's JSON there."""
    end: np.ndarray
    """(N,) int64: first byte behind it; equal to ``start`` where there is none."""

    @classmethod
    def empty(cls, count: int) -> MetadataColumn:
        """Of trajectories that have none."""
        nowhere = np.zeros(count, np.int64)
        return cls((np.empty(0, np.uint8),), nowhere.astype(np.int32), nowhere, nowhere)

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> MetadataColumn:
        """Of trajectories with this JSON; empty where there is none."""
        end = np.cumsum([len(text) for text in texts], dtype=np.int64)
        start = np.concatenate([np.zeros(min(1, len(end)), np.int64), end[:-1]])
        return cls(
            (np.frombuffer(b"".join(texts), np.uint8),), np.zeros(len(end), np.int32), start, end
        )

    def __getitem__(self, i: int) -> dict:
        """The metadata of a trajectory, by its place.

        Raises:
            CorpusError: they are damaged.
        """
        text = self.text(i)
        if not text:
            return {}
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict):
            raise CorpusError("metadata is not a JSON object", f"trajectory {i}", "write it again")
        return parsed

    def text(self, i: int) -> bytes:
        """The JSON of a trajectory, by its place; empty where there is none."""
        return self.blobs[self.shard[i]][self.start[i] : self.end[i]].tobytes()

    def texts(self) -> list[bytes]:
        """``text`` of every trajectory."""
        if (self.start == self.end).all():
            return [b""] * len(self.shard)
        blobs = [blob.tobytes() for blob in self.blobs]
        places = zip(self.shard.tolist(), self.start.tolist(), self.end.tolist(), strict=True)
        return [blobs[number][start:end] for number, start, end in places]

    def take(self, rows: np.ndarray) -> MetadataColumn:
        """That of some of the trajectories."""
        return MetadataColumn(self.blobs, self.shard[rows], self.start[rows], self.end[rows])

    def saying(self, key: str, value: object) -> np.ndarray:
        """(N,) bool: which trajectories have this value under a key; damaged ones have none."""
        found = np.zeros(len(self.shard), bool)
        for number, blob in enumerate(self.blobs):
            # parsing takes long, and most metadata does not speak of it
            places = [match.start() for match in re.finditer(f'"{key}"'.encode(), blob.data)]
            first, behind = (np.searchsorted(places, edge) for edge in (self.start, self.end))
            found |= (self.shard == number) & (first < behind)
        for i in np.flatnonzero(found).tolist():
            metadata = {}
            with contextlib.suppress(CorpusError):
                metadata = self[i]
            found[i] = metadata.get(key) == value
        return found


@dataclass(frozen=True, eq=False)
class Table:
    """Columns over the trajectories of a view, as the view shows them."""

    ids: np.ndarray
    """(N,) bytes: ids as stored; ``id`` has them as text."""
    length: np.ndarray
    """(N,) int64: steps T."""
    labels: np.ndarray
    """(N,) uint8: codes, places in ``LABEL_STATES``."""
    num_observed: np.ndarray
    """(N,) int64: steps whose action this view shows as observed."""
    episode_return: np.ndarray
    """(N,) float64."""
    terminated: np.ndarray
    """(N,) bool."""
    truncated: np.ndarray
    """(N,) bool."""
    provenance: np.ndarray
    """(N,) int32: place in ``manifest.provenance``."""
    agent_step: np.ndarray
    """(N,) int64: -1 where unknown."""
    seed: np.ndarray
    """(N,) uint64: seed of the environment's reset, 0 where unknown."""
    seeded: np.ndarray
    """(N,) bool: where it is known."""
    sources: tuple[str, ...]
    """Name of the source of each provenance entry."""
    metadata: MetadataColumn

    def __len__(self) -> int:
        return len(self.length)

    def __repr__(self) -> str:
        hidden = ("ids", SEEDED, *_NOT_COLUMNS)
        names = [field.name for field in fields(self) if field.name not in hidden]
        steps = int(self.length.sum())
        return f"Table({len(self):,} trajectories, {steps:,} steps: id, {', '.join(names)})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first and the last rows."""
        places = np.arange(len(self))
        if len(self) > 2 * SHOWN:
            places = np.concatenate([places[:SHOWN], places[-SHOWN:]])
        columns = self.take(places).columns()
        rows: list[list[Any]] = []
        for row, place in enumerate(places.tolist()):
            known = {name: column.at(row) for name, column in columns.items()}
            seed = None if known["seed"] is None else str(known["seed"])  # a name, no amount
            rows.append([str(place), *(known | {"seed": seed}).values()])
        if len(places) < len(self):
            rows.insert(SHOWN, ["…", *[""] * len(columns)])
        return grid(["", *columns], rows)

    @cached_property
    def id(self) -> np.ndarray:
        """(N,) text: ids."""
        return self.ids.astype(f"U{ID_BYTES}")

    @cached_property
    def rewarded(self) -> np.ndarray:
        """(N,) bool: rewards were recorded; elsewhere the return, 0, is no result."""
        ((key, value),) = NO_REWARDS.items()
        return ~self.metadata.saying(key, value)

    @cached_property
    def final_observed(self) -> np.ndarray:
        """(N,) bool: the last observation was recorded; elsewhere it repeats the one before it."""
        ((key, value),) = FINAL_MISSING.items()
        return ~self.metadata.saying(key, value)

    @property
    def source(self) -> np.ndarray:
        """(N,) text: short names of the sources."""
        return np.array(self.sources or ("",))[self.provenance]

    def info(self, i: int) -> TrajectoryInfo:
        """One row as a schema."""
        step = int(self.agent_step[i])
        return TrajectoryInfo(
            id=self.ids[i].decode("ascii"),
            length=int(self.length[i]),
            labels=LABEL_STATES[self.labels[i]],
            num_observed=int(self.num_observed[i]),
            episode_return=float(self.episode_return[i]),
            terminated=bool(self.terminated[i]),
            truncated=bool(self.truncated[i]),
            source=self.sources[self.provenance[i]],
            agent_step=None if step < 0 else step,
            seed=int(self.seed[i]) if self.seeded[i] else None,
            metadata=self.metadata[i],
        )

    def columns(self) -> dict[str, Column]:
        """What is known of each trajectory, under the names of ``TrajectoryInfo``."""
        names, source = np.unique(self.source, return_inverse=True)
        notes = [text.decode("utf-8", "replace") for text in self.metadata.texts()]
        return {
            "id": Column(self.id),
            "length": Column(self.length),
            "labels": Column(self.labels, categories=tuple(s.value for s in LABEL_STATES)),
            "num_observed": Column(self.num_observed),
            "episode_return": Column(self.episode_return, ~self.rewarded),
            "terminated": Column(self.terminated),
            "truncated": Column(self.truncated),
            "source": Column(source, categories=tuple(names.tolist())),
            "agent_step": Column(self.agent_step, self.agent_step < 0),
            "seed": Column(self.seed, ~self.seeded),
            "metadata": Column(np.array(notes, object), np.array([not n for n in notes], bool)),
        }

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each trajectory, whose index is its place.

        ``labels`` and ``source`` are categories. Where no rewards were recorded the return is
        missing; ``metadata`` is JSON.

        Raises:
            ConfigError: pandas is missing.
        """
        return to_pandas(self.columns(), "place")

    def to_arrow(self) -> pyarrow.Table:
        """The columns of ``to_pandas`` as an Arrow table.

        Raises:
            ConfigError: pyarrow is missing.
        """
        return to_arrow(self.columns())

    @property
    def readable(self) -> np.ndarray:
        """(N,) bool: trajectories with an action that is observed or, ``with_labels``, inferred."""
        return (self.num_observed > 0) | (self.labels == INFERRED)

    @property
    def complete(self) -> np.ndarray:
        """(N,) bool: trajectories all of whose actions are."""
        return (self.num_observed == self.length) | (self.labels == INFERRED)

    def take(self, rows: np.ndarray) -> Table:
        """The table of some of the trajectories, in the order asked for."""
        columns = (field.name for field in fields(self) if field.name not in _NOT_COLUMNS)
        arrays = {name: getattr(self, name)[rows] for name in columns}
        return replace(self, **arrays, metadata=self.metadata.take(rows))

    def relabel(self, labels: np.ndarray) -> Table:
        """The same rows under other label states; what is not observed counts no steps."""
        num_observed = np.where(labels == OBSERVED, self.num_observed, 0)
        return replace(self, labels=labels, num_observed=num_observed)
