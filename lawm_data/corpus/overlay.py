"""Label overlays: actions written by a model, beside a corpus and never in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from lawm_schemas import (
    ArraySpec,
    ConfigError,
    CorpusError,
    FeatureSet,
    LatentSet,
    Overlay,
    load_json,
)

from lawm_data.corpus.mask import NAME, NAME_HINT, mask_sha256
from lawm_data.corpus.table import ID_BYTES, INFERRED, Table
from lawm_data.system.atomic import own_folder, storage_errors, write_folder
from lawm_data.system.hdf5 import HINT, MappedFile, file_in_memory

if TYPE_CHECKING:
    from lawm_data.corpus.corpus import Corpus

LABELS = "labels"
OVERLAY = "overlay.json"
ARRAYS = "actions.h5"
FILE_LIMIT = 1 << 24
"""Bytes; a larger description is not read."""

Description = TypeVar("Description", Overlay, FeatureSet, LatentSet)


class Labels:
    """An overlay, mapped.

    Args:
        info: ``overlay.json``.
        file: ``actions.h5``.
        width: elements of an action.
    """

    def __init__(self, info: Overlay, file: MappedFile, width: int) -> None:
        n, self.info = info.trajectories, info
        self.width = width
        self._ids = file.array("id", f"S{ID_BYTES}", (n,))
        self._row = file.array("row", "<i8", (n,))
        self._length = file.array("length", "<i8", (n,))
        self._mean = file.array("mean", "<f4", (-1, width))
        self._std = file.array("std", "<f4", (len(self._mean), width))
        file.close()
        tiled = np.cumsum(self._length) - self._length
        total = int(self._length.sum())
        if (self._length < 1).any() or (self._row != tiled).any() or total != len(self._mean):
            raise CorpusError("its rows do not match its arrays", str(file.path), HINT)
        self._order = np.argsort(self._ids, kind="stable")
        self._sorted = self._ids[self._order]
        if (self._sorted[1:] == self._sorted[:-1]).any():
            raise CorpusError("labels a trajectory twice", str(file.path), HINT)

    @property
    def ids(self) -> np.ndarray:
        """(n,) bytes: the trajectories with inferred actions."""
        return self._ids

    @property
    def length(self) -> np.ndarray:
        """(n,) int64: their steps."""
        return self._length

    def covers(self, ids: np.ndarray) -> np.ndarray:
        """Which of these trajectories have inferred actions."""
        return np.isin(ids, self._ids)

    @property
    def means(self) -> np.ndarray:
        """(M, A) float32: the inferred actions of all these trajectories, one after the other."""
        return self._mean

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """(n,) int64: where in ``means`` those of some trajectories begin; -1: there are none."""
        rows = np.full(len(ids), -1, np.int64)
        if len(self._ids):
            at = np.minimum(np.searchsorted(self._sorted, ids), len(self._ids) - 1)
            there = self._sorted[at] == ids
            rows[there] = self._row[self._order[at[there]]]
        return rows

    def fault(self, table: Table) -> str:
        """What is wrong with them though all checksums fit; empty if nothing is.

        Args:
            table: of the corpus, or of the part of it that is looked at.
        """
        order = np.argsort(table.ids)
        here = np.flatnonzero(np.isin(self._ids, table.ids))
        row = order[np.searchsorted(table.ids, self._ids[here], sorter=order)]
        other = int((self._length[here] != table.length[row]).sum())
        if other:
            return f"labels {other} trajectories with more or fewer actions than they have steps"
        if not (np.isfinite(self._mean).all() and np.isfinite(self._std).all()):
            return "holds actions that are not finite"
        return "holds an uncertainty below zero" if (self._std < 0).any() else ""

    def read(self, trajectory: str) -> tuple[np.ndarray, np.ndarray]:
        """Inferred actions and their standard deviations, each (T, A) float32.

        Raises:
            CorpusError: the overlay says nothing of this trajectory.
        """
        wanted = np.bytes_(trajectory.encode())
        at = int(np.searchsorted(self._sorted, wanted))
        if at == len(self._sorted) or self._sorted[at] != wanted:
            where = f"overlay {self.info.name}: trajectory {trajectory}"
            raise CorpusError("has no inferred actions", where, "relabel it")
        i = self._order[at]
        rows = slice(int(self._row[i]), int(self._row[i] + self._length[i]))
        return self._mean[rows].copy(), self._std[rows].copy()


def write_overlay(
    corpus: Corpus,
    labels: Iterable[tuple[str, np.ndarray, np.ndarray]],
    *,
    name: str,
    model: str,
    algorithm: str,
    method: str | None = None,
    max_uncertainty: float | None = None,
    nmse_per_dimension: Sequence[float] | None = None,
    r2: float | None = None,
    replace: bool = False,
) -> Overlay:
    """Write ``labels/NAME``. The name of the mask is taken from the view.

    Args:
        corpus: the view that the model saw.
        labels: id, mean (T, A) and standard deviation (T, A) of each trajectory.
        name: name of the overlay.
        model: hash of the model's weights.
        algorithm: algorithm that made the labels.
        method: how it inferred them.
        max_uncertainty: trajectories that were less certain were left out.
        nmse_per_dimension: mean squared error over the variance, where it is known and no secret.
        r2: 1 - mean of it.
        replace: an overlay of this name gives way.

    Raises:
        CorpusError: a label does not fit its trajectory, or the name is taken; nothing is
            written.
        StorageError: the file system refused.
    """
    folder = free_folder(corpus.path, name, replace)
    lengths = dict(zip(corpus.table.id.tolist(), corpus.table.length.tolist(), strict=True))
    width, found = corpus.manifest.action.size, {}
    for trajectory, mean, std in labels:
        shape = (lengths.get(trajectory, -1), width)
        if shape[0] < 0 or trajectory in found:
            what = "is labeled twice" if trajectory in found else "is not in this view"
            raise CorpusError(what, f"trajectory {trajectory}", "label each one once")
        found[trajectory] = _fitted(mean, shape, trajectory), _fitted(std, shape, trajectory)
        if (found[trajectory][1] < 0).any():
            hint = "give standard deviations"
            raise CorpusError("uncertainty below zero", f"trajectory {trajectory}", hint)
    mask = corpus.mask
    described = {
        "name": name,
        "corpus": corpus.root_fingerprint,
        "mask": None if mask is None else mask.name,
        "mask_sha256": None if mask is None else mask_sha256(mask),
        "model": model,
        "algorithm": algorithm,
        "method": method,
        "max_uncertainty": max_uncertainty,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "trajectories": 0,
        "sha256": "",
        "nmse_per_dimension": None if nmse_per_dimension is None else tuple(nmse_per_dimension),
        "r2": r2,
    }
    overlay = Overlay.parse(described, f"overlay {name}")
    return save_overlay(folder, overlay, found, width)


def save_overlay(
    folder: Path,
    overlay: Overlay,
    found: Mapping[str, tuple[np.ndarray, np.ndarray]],
    width: int,
) -> Overlay:
    """Write an overlay's folder; count and checksum are filled in.

    Args:
        folder: ``labels/NAME``.
        overlay: what it says of itself.
        found: mean and standard deviation, each (T, A) float32, by id.
        width: A, elements of an action.

    Raises:
        StorageError: the file system refused.
    """
    data = encode_labels(found, width)
    update = {"trajectories": len(found), "sha256": hashlib.sha256(data).hexdigest()}
    overlay = overlay.model_copy(update=update)
    own_folder(folder.parent)
    write_folder(folder, {ARRAYS: data, OVERLAY: overlay.to_json().encode()})
    return overlay


def free_folder(corpus_path: Path, name: str, replace: bool = False) -> Path:
    """The folder of a new overlay, or with ``replace`` of one that gives way to it.

    Raises:
        ConfigError: the name cannot be that of a folder.
        CorpusError: the name is taken.
    """
    if not NAME.fullmatch(name):
        raise ConfigError("cannot be the name of an overlay", repr(name), NAME_HINT)
    folder = corpus_path / LABELS / name
    if (folder / OVERLAY).exists() and not replace:
        hint = "choose another name, or replace it (--replace)"
        raise CorpusError("another overlay has this name", str(folder), hint)
    return folder


def read_overlay(path: Path, name: str | None = None) -> Overlay:
    """Read the ``overlay.json`` of ``labels/NAME``.

    Args:
        path: the folder.
        name: what it should be called, if that is not the name of the folder.

    Raises:
        CorpusError: there is none, or it is damaged.
    """
    return read_description(path / OVERLAY, Overlay, name or path.name, HINT)


def read_description(file: Path, schema: type[Description], name: str, hint: str) -> Description:
    """Read what stands in JSON about numbers beside a corpus.

    Args:
        file: the JSON file.
        schema: what it holds.
        name: what it says that it is called.
        hint: what to do where it is damaged.

    Raises:
        CorpusError: there is none, or it is damaged.
    """
    try:
        with storage_errors(file):
            if file.is_file() and file.stat().st_size > FILE_LIMIT:
                raise CorpusError(f"is larger than {FILE_LIMIT} bytes", str(file), HINT)
            found = schema.parse(load_json(file), str(file))
    except ConfigError as error:
        raise CorpusError(error.what, error.where, hint) from None
    if found.name != name:
        raise CorpusError(f"is named {found.name!r} inside", str(file), HINT)
    return found


def overlay_names(corpus_path: Path) -> list[str]:
    """Names of the finished overlays of a corpus."""
    folders = _overlay_folders(corpus_path)
    with storage_errors(corpus_path / LABELS):
        return [folder.name for folder in folders if (folder / OVERLAY).is_file()]


def headless_overlays(corpus_path: Path) -> list[str]:
    """Names of folders that hold actions, and no ``overlay.json`` that says whose."""
    folders = _overlay_folders(corpus_path)
    with storage_errors(corpus_path / LABELS):
        return [
            folder.name
            for folder in folders
            if not (folder / OVERLAY).is_file()
            and ((folder / ARRAYS).exists() or folder.is_symlink())
        ]


def _overlay_folders(corpus_path: Path) -> list[Path]:
    folder = corpus_path / LABELS
    with storage_errors(folder):
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        return [entry for entry in entries if not entry.name.startswith(".")]


def open_labels(corpus: Corpus, name: str, verify: bool = False) -> Labels:
    """Map an overlay and check it against its corpus.

    Args:
        corpus: the corpus.
        name: name of the overlay.
        verify: compare the checksum too.

    Raises:
        CorpusError: no such overlay, damaged, or for another corpus.
    """
    names = overlay_names(corpus.path)
    folder = corpus.path / LABELS / name
    if name not in names:
        there = ", ".join(names) or "there are none yet"
        raise CorpusError("no such overlay", str(folder), f"overlays here: {there}")
    info = read_overlay(folder)
    if info.corpus != corpus.root_fingerprint:
        what = f"belongs to corpus {info.corpus[:12]}, not to {corpus.root_fingerprint[:12]}"
        raise CorpusError(what, f"overlay {name}", "relabel this corpus (--replace)")
    labels = read_labels(folder, info, corpus.manifest.action.size, verify)
    if verify and (fault := labels.fault(corpus.table)):
        raise CorpusError(fault, f"overlay {name}", "relabel this corpus (--replace)")
    return labels


def require_same_mask(view: Corpus) -> None:
    """Refuse inferred actions in a view through another mask than who inferred them saw through.

    Raises:
        ConfigError: says which mask that was.
    """
    if view.mask is None or view.overlay is None:
        return
    info, shown = view.overlay, view.mask.name
    if info.mask_sha256 == mask_sha256(view.mask):
        return
    seen = f"through mask {info.mask}" if info.mask else "without a mask"
    seen = f"through another mask {shown}" if info.mask == shown else f"{seen}, not through {shown}"
    raise ConfigError(
        f"were inferred by a run that saw the corpus {seen}",
        f"labels {info.name} of {view.path}",
        "infer them with a run that was trained through this mask",
    )


def recorded_instead(view: Corpus) -> list[str]:
    """A line where a view shows recorded actions in the place of inferred ones."""
    count, info = int(view.inferred_beside_recorded.sum()), view.overlay
    if not count or info is None:
        return []
    labeled = count + int((view.table.labels == INFERRED).sum())
    what = f"{count:,} of the {labeled:,} trajectories that they label show recorded actions"
    mend = "hide these with --mask to have the inferred ones"
    if info.mask is not None and view.mask is None:
        mend = f"with --mask {info.mask} they show the inferred ones"
    return [f"labels {info.name}: {what}, which are taken; {mend}"]


def read_labels(folder: Path, info: Overlay, width: int, verify: bool = False) -> Labels:
    """Map the arrays of an overlay, whichever corpus it is for.

    Args:
        folder: ``labels/NAME``.
        info: its ``overlay.json``.
        width: elements of an action.
        verify: compare the checksum too.

    Raises:
        CorpusError: they are damaged or missing.
    """
    file = folder / ARRAYS
    with storage_errors(file):
        try:
            mapped = MappedFile(file, sha256=info.sha256 if verify else None)
        except FileNotFoundError:
            raise CorpusError("is missing", str(file), HINT) from None
    return Labels(info, mapped, width)


def without_errors(overlay: Overlay) -> Overlay:
    """The same, saying nothing of how far its actions are from true ones."""
    return overlay.model_copy(update={"nmse_per_dimension": None, "r2": None})


def half_range(action: ArraySpec) -> np.ndarray:
    """(A,) half the distance between an action's bounds; 1 where it has none or does not move."""
    if action.low is None or action.high is None:
        return np.ones(action.size)
    half = (np.array(action.high) - np.array(action.low)) / 2
    return np.where(half > 0, half, 1.0)


def _fitted(array: np.ndarray, shape: tuple[int, int], trajectory: str) -> np.ndarray:
    where = f"labels of trajectory {trajectory}"
    given = np.asarray(array)
    if given.size != shape[0] * shape[1] or len(given) != shape[0]:
        raise CorpusError(f"have shape {given.shape}", where, f"give {shape}")
    fitted = given.reshape(shape).astype("<f4")
    if not np.isfinite(fitted).all():
        raise CorpusError("are not finite", where, "check the model")
    return fitted


def encode_labels(found: Mapping[str, tuple[np.ndarray, np.ndarray]], width: int) -> bytes:
    """The bytes of ``actions.h5``: mean and standard deviation, each (T, A), by id."""
    length = np.array([len(mean) for mean, _ in found.values()], "<i8")
    empty = np.empty((0, width), "<f4")
    with file_in_memory() as file:
        file.attrs["format"] = "lawm labels 1"
        file["id"] = np.array([name.encode() for name in found], f"S{ID_BYTES}")
        file["row"] = np.cumsum(length) - length
        file["length"] = length
        file["mean"] = np.concatenate([empty, *(mean for mean, _ in found.values())])
        file["std"] = np.concatenate([empty, *(std for _, std in found.values())])
        file.flush()
        return file.id.get_file_image()
