"""The sidecar of HDF5 formats: what our exports add so that an import restores the corpus.

A group holds ``about``, the manifest and the masks as JSON, and ``table``, one row a trajectory.
Readers of the foreign format never look there.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

# compiled modules: pyright sees no names in them
from h5py import h5d, h5g, h5p, h5s, h5t  # pyright: ignore[reportAttributeAccessIssue]
from lawm_schemas import ConfigError, CorpusError, LawmError, Manifest, Mask, Role, StorageError

from lawm_data.corpus.table import ID_BYTES, SEEDED, read_seeds, stored_seeds
from lawm_data.exchange.formats._protocol import Episode, Incoming, Outgoing
from lawm_data.exchange.formats._settings import listed
from lawm_data.exchange.untrusted.archive import HINT
from lawm_data.exchange.untrusted.hdf5 import ForeignFile, ForeignRows
from lawm_data.exchange.untrusted.strict_json import strict_json
from lawm_data.system.hdf5 import bound_metadata

VERSION = 1
"""Version of the group; a newer one is refused."""
_COLUMNS = {
    "length": "<i8",
    "num_observed": "<i8",
    "labels": "|u1",
    "terminated": "|u1",
    "truncated": "|u1",
    "provenance": "<i8",
    "agent_step": "<i8",
    "seed": "<i8",
}
"""Columns of the table, with the meaning of those of ``lawm_data.corpus.table``."""


def write_sidecar(group: h5py.Group, outgoing: Outgoing, metadata: Sequence[bytes]) -> None:
    """Write the sidecar into a group.

    Args:
        group: empty.
        outgoing: the view that was written.
        metadata: JSON of each trajectory, empty where there is none.
    """
    view, table = outgoing.view, group.create_group("table")
    update = {"shards": (), "fingerprint": "0" * 64, "lineage": outgoing.lineage}
    about = {
        "version": VERSION,
        "trajectories": len(view),
        "manifest": view.manifest.model_copy(update=update).model_dump(mode="json"),
        "masks": [mask.model_dump(mode="json") for mask in outgoing.masks],
    }
    group["about"] = np.frombuffer(json.dumps(about, allow_nan=False).encode(), "u1")
    table["id"] = view.table.ids.astype(f"S{ID_BYTES}")
    seeds = stored_seeds(view.table.seed, view.table.seeded)
    for name, kind in _COLUMNS.items():
        column = seeds[name] if name in seeds else getattr(view.table, name)
        table[name] = column.astype(kind)
    if SEEDED in seeds:
        table[SEEDED] = seeds[SEEDED]
    table["metadata"] = np.frombuffer(b"".join(metadata), "u1")
    table["metadata_end"] = np.cumsum([len(item) for item in metadata]).astype("<i8")


def encoded(metadata: Mapping[str, Any]) -> bytes:
    """Metadata of a trajectory as ``write_sidecar`` takes it."""
    return json.dumps(dict(metadata)).encode() if metadata else b""


class Sidecar:
    """The group, read back; everything in it is checked before it is believed.

    Args:
        file: the file.
        group: where it stands.

    Raises:
        CorpusError: damaged, or written by a newer version.
    """

    def __init__(self, file: ForeignFile, group: str) -> None:
        self._file, self._group = file, group
        where = file.where(f"{group}/about")
        about = strict_json(file.text(f"{group}/about"), where)
        if not isinstance(about, dict) or about.get("version") != VERSION:
            raise CorpusError("is not of a version that is known here", where, "update lawm")
        count = about.get("trajectories")
        if not isinstance(count, int) or count < 0:
            raise CorpusError("counts no trajectories", where, HINT)
        self.count = count
        try:
            self.manifest = Manifest.parse(about.get("manifest"), where)
            self.masks = tuple(Mask.parse(mask, where) for mask in about.get("masks", ()))
        except (LawmError, TypeError) as error:
            what = error.what if isinstance(error, LawmError) else "lists no masks"
            raise CorpusError(what, where, HINT) from None
        self.id = file.labels(f"{group}/table/id", self.count)
        columns = {name: self._column(name, kind) for name, kind in _COLUMNS.items()}
        self.length, self.num_observed = columns["length"], columns["num_observed"]
        self._columns = columns
        seeded = self._column(SEEDED, "|u1") if file.has(f"{group}/table/{SEEDED}") else None
        self._seed, self._seeded = read_seeds(columns["seed"], seeded)
        self._metadata = file.rows(f"{group}/table/metadata")
        self._end = self._column("metadata_end", "<i8")
        self._check()

    @property
    def complete(self) -> np.ndarray:
        """(n,) bool: every action is there."""
        return self.num_observed == self.length

    @property
    def physics(self) -> str | None:
        """Name of the array of simulator states."""
        specs = self.manifest.observations
        return next((spec.name for spec in specs if spec.role is Role.physics), None)

    def incoming(
        self,
        trajectories: Iterator[Episode],
        masks: tuple[Mask, ...],
        notes: Sequence[str] = (),
    ) -> Incoming:
        """The exported corpus, with the trajectories and masks that are still sound."""
        return Incoming(
            observations=self.manifest.observations,
            action=self.manifest.action,
            trajectories=trajectories,
            count=self.count,
            name=self._file.path.name,
            files=(self._file.path,),
            environment=self.manifest.environment,
            licence=self.manifest.licence,
            masks=masks,
            lineage=self.manifest.lineage,
            notes=notes,
            close=self._file.close,
        )

    def episode(
        self,
        i: int,
        observations: Mapping[str, np.ndarray],
        rewards: np.ndarray,
        actions: np.ndarray | None,
        observed: np.ndarray | None,
    ) -> Episode:
        """A trajectory with its row of the table; ``i`` counts up from 0."""
        row = {name: int(values[i]) for name, values in self._columns.items()}
        start, end = (int(self._end[i - 1]) if i else 0), int(self._end[i])
        text = self._metadata.next(end - start).tobytes()
        metadata = strict_json(text, self._metadata.where) if text else {}
        if not isinstance(metadata, dict):
            raise CorpusError("is not metadata", self._metadata.where, HINT)
        return Episode(
            observations=observations,
            rewards=rewards,
            provenance=self.manifest.provenance[row["provenance"]],
            actions=actions,
            action_observed=observed,
            terminated=bool(row["terminated"]),
            truncated=bool(row["truncated"]),
            agent_step=None if row["agent_step"] < 0 else row["agent_step"],
            seed=int(self._seed[i]) if self._seeded[i] else None,
            metadata=metadata,
            trajectory_id=self.id[i],
        )

    def _column(self, name: str, kind: str) -> np.ndarray:
        place = f"{self._group}/table/{name}"
        column = self._file.read(place)
        if column.dtype != np.dtype(kind) or column.shape != (self.count,):
            raise self._file.refuse(place, f"is no column of {self.count} rows of {kind}")
        return column

    def _check(self) -> None:
        """What the columns say of each other and of the manifest."""
        c, where = self._columns, self._file.where(f"{self._group}/table")
        ends = np.diff(self._end, prepend=0)
        sound = (
            len(self.id) == self.count
            and (c["length"] >= 1).all()
            and (c["length"] < 1 << 40).all()
            and ((c["num_observed"] >= 0) & (c["num_observed"] <= c["length"])).all()
            and ((c["provenance"] >= 0) & (c["provenance"] < len(self.manifest.provenance))).all()
            and max(c["terminated"].max(initial=0), c["truncated"].max(initial=0)) <= 1
            and (ends >= 0).all()
            and ends.sum() == len(self._metadata)
        )
        if not sound:
            raise CorpusError("does not match the file", where, HINT)


def exported_rows(file: ForeignFile, name: str, shape: tuple[int, ...]) -> ForeignRows:
    """An array of the shape in which it was exported.

    Raises:
        CorpusError: names both shapes.
    """
    found = file.rows(name)
    if found.shape != shape:
        what = f"has shape {found.shape} where the table says {shape}"
        raise CorpusError(what, found.where, HINT)
    return found


def at_observed(actions: np.ndarray, observed: np.ndarray, where: str) -> np.ndarray:
    """Actions of observed steps, (n, *shape), at their steps, (T, *shape); zeros elsewhere.

    Args:
        actions: one a step that is observed.
        observed: (T,) bool.
        where: of ``observed``, for messages.

    Raises:
        CorpusError: their numbers differ.
    """
    if observed.sum() != len(actions):
        what = f"is true {observed.sum()} times where {len(actions)} are due"
        raise CorpusError(what, where, HINT)
    placed = np.zeros((len(observed), *actions.shape[1:]), actions.dtype)
    placed[observed] = actions
    return placed


def refuse_settings(settings: Mapping[str, Any], place: str) -> None:
    """Refuse settings that describe a file: it describes itself.

    Raises:
        ConfigError: names the first setting.
    """
    for key in settings:
        raise ConfigError("is known from the file itself", f"{place}: {key}", "leave it out")


def read_file(
    place: str,
    settings: Mapping[str, Any],
    group: str,
    read_export: Callable[[ForeignFile, Sidecar, Mapping[str, Any]], Incoming],
    read_foreign: Callable[[ForeignFile, Mapping[str, Any]], Incoming],
) -> Incoming:
    """Open a file, and close it again if it cannot be read.

    Args:
        place: the file.
        settings: of the format.
        group: where an export keeps what the format has no place for.
        read_export: reads a file with that group.
        read_foreign: reads a file without it, from elsewhere.

    Raises:
        CorpusError: the file is damaged, or of another format.
        ConfigError: a setting makes no sense.
    """
    file = ForeignFile(Path(place))
    try:
        if file.has(group):
            left = listed(settings, "without")
            rest = {key: value for key, value in settings.items() if key != "without"}
            incoming = read_export(file, Sidecar(file, group), rest)
            return incoming.without(left) if left else incoming
        return read_foreign(file, settings)
    except BaseException:
        file.close()
        raise


def locate(place: str) -> Path:
    """The file that ``write`` makes; see ``FormatModule.locate``.

    Raises:
        ConfigError: it is not named like an HDF5 file.
    """
    path = Path(place)
    if path.suffix not in (".hdf5", ".h5"):
        raise ConfigError("is not the name of an HDF5 file", place, "let it end in .hdf5")
    return path


class Sink(io.RawIOBase):
    """A file that takes everything, and remembers the first error.

    HDF5 does not bear one: it goes on writing when it is told to stop, and then crashes.

    Args:
        path: the file.
        mode: that of ``io.FileIO``.
    """

    def __init__(self, path: Path, mode: str = "w+b") -> None:
        self._file = io.FileIO(path, mode)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def close(self) -> None:
        self._file.close()
        super().close()


class Hdf5Writer:
    """An HDF5 file that is being written.

    Args:
        file: where things are stored.
        sink: what it writes to.
    """

    def __init__(self, file: h5py.File, sink: Sink) -> None:
        self.file, self._sink = file, sink
        self._group, self._array = h5p.create(h5p.GROUP_CREATE), h5p.create(h5p.DATASET_CREATE)
        for settings in (self._group, self._array):
            settings.set_obj_track_times(False)
        self._types: dict[np.dtype, Any] = {}

    def group(self, above: h5py.Group, name: str) -> h5py.Group:
        """``create_group`` for one of very many, in less time."""
        return h5py.Group(h5g.create(above.id, name.encode(), gcpl=self._group))

    def store(self, above: h5py.Group, name: str, array: np.ndarray) -> None:
        """``create_dataset`` for one of very many, in less time: numbers as they are."""
        if array.dtype not in self._types:
            self._types[array.dtype] = h5t.py_create(array.dtype, logical=True)
        kind, space = self._types[array.dtype], h5s.create_simple(array.shape)
        dataset = h5d.create(above.id, name.encode(), kind, space, dcpl=self._array)
        dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(array))

    def require_space(self) -> None:
        """Raise the error that a write met, if one did."""
        if self._sink.error is not None:
            raise self._sink.error


@contextmanager
def new_hdf5(path: Path, place: str) -> Iterator[Hdf5Writer]:
    """Make an HDF5 file.

    Args:
        path: where it is made.
        place: what messages call it.

    Raises:
        StorageError: the file system refused.
    """
    try:
        sink = Sink(path)
    except OSError as error:
        raise StorageError.from_os_error(error, place) from None
    try:
        with h5py.File(sink, "w") as file:
            yield Hdf5Writer(bound_metadata(file), sink)
    except Exception:
        if sink.error is None:
            raise
    finally:
        sink.close()
    if sink.error is not None:
        raise StorageError.from_os_error(sink.error, place) from None
