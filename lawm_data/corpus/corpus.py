"""Corpora as they are read: immutable views over trajectories on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from lawm_schemas import (
    ArraySpec,
    ConfigError,
    CorpusError,
    FeatureSet,
    LatentSet,
    Manifest,
    Mask,
    MaskError,
    Overlay,
    Role,
    TrajectoryInfo,
)

from lawm_data.corpus.fingerprint import fingerprint_of, visible_fingerprint
from lawm_data.corpus.latents import Latents, latent_names, open_latents
from lawm_data.corpus.layout import Layout
from lawm_data.corpus.mask import Masked, find_mask, mask_files, read_mask, readable_under
from lawm_data.corpus.observed import EVERYTHING, Observed, observe
from lawm_data.corpus.overlay import Labels, open_labels, overlay_names, without_errors
from lawm_data.corpus.shard import Shard
from lawm_data.corpus.store import Store, open_store
from lawm_data.corpus.table import (
    INFERRED,
    LABEL_STATES,
    NO_REWARDS,
    OBSERVED,
    WITHHELD,
    Index,
    Table,
)
from lawm_data.corpus.trajectory import Observations, Trajectory
from lawm_data.system.colors import STATE_COLORS
from lawm_data.system.notebook import facts, shares

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from matplotlib.figure import Figure


def open_corpus(path: str | Path, *, verify: bool = False) -> Corpus:
    """Open a corpus for reading.

    Args:
        path: its folder.
        verify: read every byte and compare its checksum. Sizes and offsets are always checked.

    Raises:
        CorpusError: not a corpus, damaged, or of a newer format version.
        ConfigError: it is opened already.
    """
    if isinstance(path, Corpus):
        raise ConfigError("is an opened corpus", str(path.path), "give its address, 'PATH'")
    return Corpus(open_store(Path(path), verify))


def _reopen(
    path: Path,
    fingerprint: str,
    mask: Mask | None,
    ids: list[str] | None,
    labels: str | None,
    observed: str | None = None,
    latents: str | None = None,
) -> Corpus:
    """The view that was pickled."""
    corpus = open_corpus(path)
    if corpus.root_fingerprint != fingerprint:
        raise CorpusError("has changed since it was pickled", str(path), "open it again")
    corpus = corpus if observed is None else corpus.observing(observed)
    corpus = corpus if mask is None else corpus.with_mask(mask)
    corpus = corpus if labels is None else corpus.with_labels(labels)
    corpus = corpus if latents is None else corpus.with_latents(latents)
    return corpus if ids is None else corpus[ids]


class Corpus:
    """Some or all trajectories of a corpus, with some or all of their actions.

    A view never changes, whatever a writer does meanwhile. Under a mask the hidden actions are
    not in any of its attributes, and no method leads back to a view that has them.

    Use ``open_corpus``; the arguments are what its methods pass on.
    """

    def __init__(
        self,
        store: Store,
        rows: np.ndarray | None = None,
        masked: Masked | None = None,
        overlay: Labels | None = None,
        observed: Observed | None = None,
        latents: Latents | None = None,
    ) -> None:
        self._store = store
        self._rows = rows
        self._masked = masked
        self._overlay = overlay
        self._observed = observed
        self._latents = latents

    def _but(self, **changes: Any) -> Corpus:
        """This view with other arguments."""
        parts = {
            "store": self._store,
            "rows": self._rows,
            "masked": self._masked,
            "overlay": self._overlay,
            "observed": self._observed,
            "latents": self._latents,
        }
        return Corpus(**parts | changes)

    @property
    def path(self) -> Path:
        """Folder of the corpus."""
        return self._store.path

    @property
    def manifest(self) -> Manifest:
        """Manifest of the whole corpus; its arrays are those that this view shows."""
        return self._store.manifest if self._observed is None else self._observed.manifest

    @property
    def layout(self) -> Layout:
        """Where the arrays that this view shows lie in its shards."""
        return self._store.layout if self._observed is None else self._observed.layout

    @property
    def observed(self) -> str:
        """What is observed, see ``observing``."""
        return EVERYTHING if self._observed is None else self._observed.words

    @property
    def features(self) -> tuple[FeatureSet, ...]:
        """The features that this view has in the place of what was recorded."""
        return () if self._observed is None else self._observed.infos

    @property
    def root_fingerprint(self) -> str:
        """Fingerprint of the whole corpus, which masks and overlays refer to."""
        return self._store.manifest.fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the specs and of this view's trajectories; a mask does not change it."""
        if self._rows is None:
            return self.root_fingerprint
        ids, digest = self._store.table.ids[self._rows], self._store.digest[self._rows]
        return fingerprint_of(self._store.manifest, ids, digest)

    @cached_property
    def visible_fingerprint(self) -> str:
        """The same, but of no action that a mask hides: all that a training may know of it."""
        return self._visible(self.withheld)

    @cached_property
    def unlabeled_fingerprint(self) -> str:
        """The same as if all recorded actions were hidden: no mask changes it."""
        return self._visible(self._recorded)

    @property
    def withheld(self) -> np.ndarray:
        """(N,) bool: whose recorded actions the mask hides, inferred in their place or not."""
        if self._masked is None:
            return np.zeros(len(self), bool)
        return self._recorded & ~self._whole_or_rows(self._masked.readable)

    @property
    def _recorded(self) -> np.ndarray:
        """(N,) bool: actions were recorded, whether or not a mask hides them."""
        return self._whole_or_rows(self._store.table.labels) == OBSERVED

    def _whole_or_rows(self, column: np.ndarray) -> np.ndarray:
        return column if self._rows is None else column[self._rows]

    def _visible(self, hidden: np.ndarray) -> str:
        digests = self._whole_or_rows(self._store.digest)
        return visible_fingerprint(self._store.manifest, self.table, digests, hidden)

    @property
    def mask(self) -> Mask | None:
        """The mask that the corpus is seen through."""
        return None if self._masked is None else self._masked.mask

    @property
    def overlay(self) -> Overlay | None:
        """The label overlay whose actions are filled in.

        Through a mask without the errors of its actions, and without the corpus's fingerprint: they
        were computed from hidden ones.
        """
        if self._overlay is None:
            return None
        info = self._overlay.info
        if self._masked is None:
            return info
        return without_errors(info).model_copy(update={"corpus": self.unlabeled_fingerprint})

    @property
    def latents(self) -> LatentSet | None:
        """The latent actions that come along; through a mask without the corpus's fingerprint."""
        if self._latents is None or self._masked is None:
            return self._latents and self._latents.info
        return self._latents.info.model_copy(update={"corpus": self.unlabeled_fingerprint})

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The arrays, without what a mask hides."""
        shards = self._store.shards if self._masked is None else self._masked.shards
        return shards if self._observed is None else self._observed.added_to(shards)

    @cached_property
    def index(self) -> Index:
        """Where the arrays of each trajectory are."""
        index = self._store.index
        if self._masked is not None:
            row = self._masked.action_row
            index = index._replace(action_row=row, partial=index.partial & (row >= 0))
        return index if self._rows is None else Index(*(column[self._rows] for column in index))

    @cached_property
    def table(self) -> Table:
        """What is known of each trajectory, column by column."""
        table = self._store.table
        labels = table.labels
        if self._masked is not None:
            hidden = (labels == OBSERVED) & ~self._masked.readable
            labels = np.where(hidden, np.uint8(WITHHELD), labels)
        if self._overlay is not None:
            filled = (labels != OBSERVED) & self._overlay.covers(table.ids)
            labels = np.where(filled, np.uint8(INFERRED), labels)
        if labels is not table.labels:
            table = table.relabel(labels)
        return table if self._rows is None else table.take(self._rows)

    @property
    def inferred(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(N,) rows and (M, A) actions: where the inferred actions of every trajectory begin.

        -1 stands for a trajectory without; None for a view that is not ``with_labels``.
        """
        if self._overlay is None:
            return None
        here = (self.table.labels == INFERRED) & (self.index.action_row < 0)
        return np.where(here, self._overlay.rows(self.table.ids), -1), self._overlay.means

    def inferred_of(self, trajectory: str) -> tuple[np.ndarray, np.ndarray] | None:
        """What the overlay has for a trajectory, whether or not recorded actions are shown.

        Returns:
            Mean and standard deviation, each (T, A) float32; None where it has nothing.
        """
        ids = np.array([trajectory.encode()])
        if self._overlay is None or self._overlay.rows(ids)[0] < 0:
            return None
        return self._overlay.read(trajectory)

    @property
    def inferred_beside_recorded(self) -> np.ndarray:
        """(N,) bool: the overlay has actions for these, and yet recorded ones are shown."""
        if self._overlay is None:
            return np.zeros(len(self), bool)
        return self._overlay.covers(self.table.ids) & (self.table.labels == OBSERVED)

    def __len__(self) -> int:
        return len(self._store.table) if self._rows is None else len(self._rows)

    def __iter__(self) -> Iterator[Trajectory]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, key: int | np.integer | str) -> Trajectory: ...

    @overload
    def __getitem__(
        self, key: slice | list[int] | list[str] | list[bool] | np.ndarray
    ) -> Corpus: ...

    def __getitem__(self, key: Any) -> Trajectory | Corpus:
        """One trajectory by its place or id; the view of several by a slice, places, ids or bools.

        Several come in the order that they are asked for.

        Raises:
            IndexError: there is no such place.
            CorpusError: no such id, a trajectory twice, or another number of bools.
        """
        if isinstance(key, slice):
            return self._take(np.arange(len(self))[key])
        asked = np.asarray(key)
        if not asked.ndim:
            return self._trajectory(int(self._places(asked[None])[0]))
        return self._take(self._places(asked))

    def _trajectory(self, i: int) -> Trajectory:
        info, index = self.table.info(i), self.index
        shard, row = self.shards[index.shard[i]], int(index.row[i])
        rows = slice(row, row + info.length + 1)
        steps = shard.steps[rows].copy()
        fields = self._fields(shard, rows, steps)
        physics = [s.name for s in self.manifest.observations if s.role is Role.physics]
        last = np.arange(info.length) == info.length - 1
        unrewarded = info.metadata.items() >= NO_REWARDS.items()
        actions, observed, std = self._actions(i, shard, info)
        return Trajectory(
            observations=Observations(
                self._state(steps, fields),
                {name: array for name, array in fields.items() if name not in physics},
            ),
            actions=actions,
            action_observed=observed,
            rewards=np.zeros(info.length, np.float32) if unrewarded else steps[:-1, -1].copy(),
            terminated=last & info.terminated,
            truncated=last & info.truncated,
            labels=info.labels,
            info=info,
            manifest=self.manifest,
            physics=fields[physics[0]] if physics else None,
            action_std=std,
            latents=None if self._latents is None else self._latents.read(info.id),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickled view says what to open; it carries no arrays, so none that a mask hides."""
        ids = None if self._rows is None else self.table.id.tolist()
        labels = None if self._overlay is None else self._overlay.info.name
        observed = None if self._observed is None else self._observed.words
        latents = None if self._latents is None else self._latents.info.name
        view = self.mask, ids, labels, observed, latents
        # workers on other machines are in other folders
        return _reopen, (self.path.absolute(), self.root_fingerprint, *view)

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{count} {name}" for name, count in self.label_counts().items() if count
        )
        mask = f", mask {self.mask.name!r}" if self.mask else ""
        labels = f", labels {self.overlay.name!r}" if self.overlay else ""
        latents = f", latents {self.latents.name!r}" if self.latents else ""
        content = f"{len(self)} trajectories, {counts or 'none'}{mask}{labels}{latents}"
        return f"Corpus({str(self.path)!r}: {content})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        manifest, table = self.manifest, self.table
        task = manifest.environment.task if manifest.environment else "unknown"
        earned = table.episode_return[table.rewarded]
        returns = "no rewards recorded"
        if len(earned):
            returns = f"{earned.mean():,.1f} on average, {earned.max():,.1f} at best"
        rows = {
            "path": str(self.path),
            "environment": task,
            "trajectories": f"{len(self):,} with {int(table.length.sum()):,} steps",
            "actions": shares(self.label_counts(), STATE_COLORS),
            "mask": self.mask and self.mask.name,
            "labels": self.overlay and self.overlay.name,
            "return": returns,
            "observations": ", ".join(map(_array, manifest.observations)),
            "action": _array(manifest.action),
        }
        return facts(f"Corpus {self.path.name}", rows)

    def filter(self, keep: Callable[[TrajectoryInfo], bool] | np.ndarray | Sequence[str]) -> Corpus:
        """The view of some trajectories, in the order of this one.

        Args:
            keep: a question asked of every trajectory's row of the table, N bools, places or ids.

        Raises:
            CorpusError: an id is not in this view, or there is another number of bools.
        """
        if callable(keep):
            keep = np.array([bool(keep(self.table.info(i))) for i in range(len(self))], bool)
        asked = np.asarray(keep)
        if asked.dtype != np.bool_:
            asked = np.unique(asked)
        return self._take(np.sort(self._places(asked)))

    def masks(self) -> dict[str, Mask]:
        """The masks beside the corpus, by name.

        Raises:
            MaskError: one of them is damaged.
        """
        return {path.stem: read_mask(path) for path in mask_files(self.path)}

    def with_mask(self, mask: str | Mask) -> Corpus:
        """The view in which all actions are hidden but those of the labeled trajectories.

        Args:
            mask: name of a mask beside the corpus, or a mask.

        Raises:
            MaskError: there is none, it belongs to another corpus, or it would show what the
                mask of this view hides.
        """
        if isinstance(mask, str):
            mask = find_mask(self.path, mask)
        readable = readable_under(mask, self, self._store.table)
        if self._masked is not None and (readable & ~self._masked.readable).any():
            raise MaskError(
                f"would show actions that mask {self._masked.mask.name!r} hides",
                f"mask {mask.name}",
                "open the corpus again",
            )
        return self._but(masked=Masked(self._store, mask, readable))

    def observing(self, what: str) -> Corpus:
        """The view in which some of the observations are all that is observed.

        Args:
            what: ``state``, ``pixels``, ``pixels:CAMERA``, ``features:NAME``, or several of these
                with ``+`` between them. Features are observed as a state field of their name.

        Raises:
            ConfigError: it is none of these, or the corpus has no such observations.
            CorpusError: no such features, damaged ones, or those of another corpus.
        """
        observed = observe(self._store, what)
        return self._but(observed=observed)

    def require_everything(self) -> None:
        """Refuse to write down a view that shows a part of the observations, or features of them.

        Raises:
            ConfigError: this is one.
        """
        if self._observed is not None:
            hint = "give the corpus itself, and lawm-data edit --fields to keep some fields"
            raise ConfigError("shows a part of the observations", str(self.path), hint)

    def everything(self) -> tuple[Manifest, Table, np.ndarray]:
        """Manifest, table, and which actions the mask hides, of the whole corpus behind a view."""
        whole = Corpus(self._store, None, self._masked)
        return whole.manifest, self._store.table, whole.withheld

    def told_as(self, manifest: Manifest, table: Table) -> Corpus:
        """This view with other words about it: of fewer arrays, or with less that is known.

        Args:
            manifest: of the same corpus.
            table: of all its trajectories, without regard to the mask.
        """
        store = replace(self._store, manifest=manifest, table=table)
        return self._but(store=store)

    def with_labels(self, name: str) -> Corpus:
        """The view in which actions that are hidden or missing are filled from an overlay.

        They are marked ``inferred`` and never count as observed: a loader reads them only where it
        is told to.

        Raises:
            CorpusError: no such overlay, damaged, or for another corpus.
        """
        if name in set(latent_names(self.path)) - set(overlay_names(self.path)):
            hint = "take them along as what they are: with_latents, --latents"
            raise CorpusError("are latent actions, not actions", f"labels {name}", hint)
        return self._but(overlay=open_labels(self, name, verify=True))

    def with_latents(self, name: str) -> Corpus:
        """The view whose trajectories have ``latents``, which a run inferred (``lawm relabel``).

        They change nothing else: no loader reads them, and an action that is hidden stays hidden.

        Raises:
            CorpusError: no such latent actions, damaged ones, or those of another corpus.
        """
        return self._but(latents=open_latents(self, name))

    def to_pandas(self) -> pandas.DataFrame:
        """The table with one row for each trajectory; see ``Table.to_pandas``."""
        return self.table.to_pandas()

    def to_arrow(self) -> pyarrow.Table:
        """The table with one row for each trajectory; see ``Table.to_arrow``."""
        return self.table.to_arrow()

    def plot(self) -> Figure:
        """Draw the returns and the label states, by source.

        A figure of matplotlib, without pyplot: ``figure.savefig("corpus.pdf")``.
        """
        from lawm_data.corpus.plots import plot_corpus

        return plot_corpus(self)

    def label_counts(self) -> dict[str, int]:
        """Trajectories in each label state, by its name."""
        counts = np.bincount(self.table.labels, minlength=len(LABEL_STATES))
        return {s.value: int(n) for s, n in zip(LABEL_STATES, counts, strict=True)}

    def _take(self, places: np.ndarray) -> Corpus:
        """The view of the trajectories at some places of this one, in that order."""
        rows = places if self._rows is None else self._rows[places]
        return self._but(rows=rows)

    def _places(self, asked: np.ndarray) -> np.ndarray:
        """(n,) places of trajectories in this view, asked for by places, ids or N bools."""
        count = len(self)
        if asked.dtype.kind == "O":  # a pandas column, as a rule
            asked = np.array(asked.tolist())
        if asked.dtype == np.bool_:
            if asked.shape != (count,):
                hint = f"give one bool for each of {count} trajectories"
                raise CorpusError(f"has shape {asked.shape}", "filter", hint)
            return np.flatnonzero(asked)
        if not asked.size:
            return np.empty(0, np.int64)
        if asked.ndim != 1 or asked.dtype.kind not in "iuUT":
            raise TypeError("corpus[…] takes a place, an id, a slice, places, ids or bools")
        if asked.dtype.kind in "iu":
            beyond = (asked < -count) | (asked >= count)
            if beyond.any():
                raise IndexError(f"trajectory {asked[beyond][0]} of {count}")
            places = asked.astype(np.int64) % count
        else:
            place_of = {name: place for place, name in enumerate(self.table.id.tolist())}
            places = np.array([place_of.get(name, -1) for name in asked.tolist()])
            if (places < 0).any():
                where = f"trajectory {asked[places < 0][0]}"
                raise CorpusError("is not in this view", where, "check the ids")
        if len(places) > 1 and len(np.unique(places)) < len(places):
            raise CorpusError("a trajectory stands twice", "corpus[…]", "ask for each one once")
        return places

    def _fields(self, shard: Shard, rows: slice, steps: np.ndarray) -> dict[str, np.ndarray]:
        columns = {spec.name: part for spec, part in self.layout.packed}
        fields = {}
        for spec in self.manifest.observations:
            if spec.name in columns:
                fields[spec.name] = steps[:, columns[spec.name]].reshape(-1, *spec.shape)
            else:
                # features lie in half precision
                fields[spec.name] = np.array(shard.fields[spec.name][rows], spec.dtype)
        return fields

    def _state(self, steps: np.ndarray, fields: dict[str, np.ndarray]) -> np.ndarray:
        """The state fields concatenated, (T+1, O) float32."""
        parts = [fields[s.name].reshape(len(steps), -1) for s in self.manifest.state]
        empty = np.empty((len(steps), 0), np.float32)
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite; its field is not
            return np.concatenate([empty, *parts], 1, dtype=np.float32, casting="unsafe")

    def _actions(
        self, i: int, shard: Shard, info: TrajectoryInfo
    ) -> tuple[np.ndarray | None, np.ndarray, np.ndarray | None]:
        """Actions, which of them are observed, and their uncertainty if they are inferred."""
        first, shape = int(self.index.action_row[i]), (info.length, *self.manifest.action.shape)
        if first >= 0 and shard.actions is not None:
            rows = slice(first, first + info.length)
            flags = shard.action_observed
            observed = np.ones(info.length, bool) if flags is None else flags[rows].copy()
            return shard.actions[rows].reshape(shape).copy(), observed, None
        observed = np.zeros(info.length, bool)
        if self._overlay is not None and LABEL_STATES.index(info.labels) == INFERRED:
            mean, std = self._overlay.read(info.id)
            return mean.reshape(shape), observed, std.reshape(shape)
        return None, observed, None


def _array(spec: ArraySpec) -> str:
    return f"{spec.name} {spec.dtype}{list(spec.shape)}"
