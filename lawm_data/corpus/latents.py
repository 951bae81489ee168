"""Latent actions beside a corpus: what a run inferred of every transition, never an action.

Inferred actions are in the units of the environment and stand in ``labels/``; latent ones mean
something to their run alone, and stand in a folder of their own, so that nothing mixes them up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from lawm_schemas import ConfigError, CorpusError, LatentSet

from lawm_data.corpus.mask import NAME, NAME_HINT
from lawm_data.corpus.overlay import read_description
from lawm_data.corpus.table import ID_BYTES, Table
from lawm_data.system.atomic import own_folder, storage_errors, write_folder
from lawm_data.system.hdf5 import MappedFile, file_in_memory

if TYPE_CHECKING:
    from lawm_data.corpus.corpus import Corpus

LATENTS = "latents"
ABOUT = "latents.json"
ARRAYS = "latents.h5"
LATENT, KNOWN, CODE = "latent_action", "latent_action_known", "latent_code"
"""What their columns are called elsewhere: the numbers, where there are some, and the code."""
AGAIN = "infer them again (lawm relabel --latents --replace)"
"""What to do about latent actions that cannot be used."""


class LatentActions(NamedTuple):
    """Those of one trajectory: of its first T' steps.

    What leads beyond the last observation is not known, as the last k-1 of a horizon of k steps.
    """

    values: np.ndarray
    """(T', D) float32."""
    codes: np.ndarray | None = None
    """(T',) int32: places in the codebook, if there is one."""

    def known(self, length: int) -> np.ndarray:
        """(T,) bool: which steps have one."""
        return np.arange(length) < len(self.values)

    def filled(self, length: int, number: float = 0) -> np.ndarray:
        """(T, D): with a number where there is none."""
        return _filled(self.values, length, number)

    def filled_codes(self, length: int, number: int = -1) -> np.ndarray:
        """(T,): likewise, of the codes."""
        assert self.codes is not None
        return _filled(self.codes, length, number)


def _filled(rows: np.ndarray, length: int, number: float) -> np.ndarray:
    whole = np.full((length, *rows.shape[1:]), number, rows.dtype)
    whole[: len(rows)] = rows
    return whole


Found = Mapping[str, tuple[int, LatentActions]]
"""Steps and latent actions of each trajectory, by its id, in the order of the corpus."""


class Latents:
    """Latent actions, mapped.

    Args:
        info: ``latents.json``.
        file: ``latents.h5``.
    """

    def __init__(self, info: LatentSet, file: MappedFile) -> None:
        n, self.info = info.trajectories, info
        self._ids = file.array("id", f"S{ID_BYTES}", (n,))
        self._length = file.array("length", "<i8", (n,))
        self._count = file.array("count", "<i8", (n,))
        self._values = file.array("latent", "<f4", (-1, info.width))
        coded = info.codes is not None
        self._codes = file.array("code", "<i4", (len(self._values),)) if coded else None
        file.close()
        if (self._count < 0).any() or (self._count > self._length).any():
            raise CorpusError("has more latent actions than steps", str(file.path), AGAIN)
        self._ends = np.cumsum(self._count)
        if (int(self._ends[-1]) if n else 0) != len(self._values):
            raise CorpusError("its rows do not match its arrays", str(file.path), AGAIN)
        self._place = {name: i for i, name in enumerate(self._ids.astype("U").tolist())}
        if len(self._place) < n:
            raise CorpusError("names a trajectory twice", str(file.path), AGAIN)

    @property
    def ids(self) -> np.ndarray:
        """(N,) bytes: trajectories, in the order of their corpus."""
        return self._ids

    @property
    def length(self) -> np.ndarray:
        """(N,) int64: their steps."""
        return self._length

    def fault(self, table: Table) -> str:
        """What is wrong with them though all checksums fit; empty if nothing is.

        Args:
            table: of the whole corpus.
        """
        same = np.array_equal(self._ids, table.ids)
        if not same or not np.array_equal(self._length, table.length):
            return "are not of the trajectories of the corpus"
        return self.value_fault()

    def value_fault(self) -> str:
        """What is wrong with the numbers, whichever corpus they are for; empty if nothing is."""
        if not np.isfinite(self._values).all():
            return "hold numbers that are not finite"
        codes, size = self._codes, self.info.codes
        if codes is not None and size is not None and ((codes < 0) | (codes >= size)).any():
            return "hold codes that are not in the codebook"
        return ""

    def read(self, trajectory: str) -> LatentActions:
        """Those of a trajectory of the corpus."""
        i = self._place[trajectory]
        rows = slice(int(self._ends[i] - self._count[i]), int(self._ends[i]))
        codes = None if self._codes is None else self._codes[rows].copy()
        return LatentActions(self._values[rows].copy(), codes)


def save_latents(folder: Path, info: LatentSet, found: Found) -> LatentSet:
    """Write ``latents/NAME``; count and checksum are filled in.

    Args:
        folder: where; one that exists gives way.
        info: what they say of themselves.
        found: what they are.

    Raises:
        StorageError: the file system refused.
    """
    data = _encoded(info, found)
    update = {"trajectories": len(found), "sha256": hashlib.sha256(data).hexdigest()}
    info = info.model_copy(update=update)
    own_folder(folder.parent)
    write_folder(folder, {ARRAYS: data, ABOUT: info.to_json().encode()})
    return info


def found_in(view: Corpus) -> Found:
    """All latent actions of a view that has some."""
    return {t.info.id: (len(t), t.latents) for t in view if t.latents is not None}


def _encoded(info: LatentSet, found: Found) -> bytes:
    """The bytes of ``latents.h5``."""
    each = [latents for _, latents in found.values()]
    with file_in_memory() as file:
        file.attrs["format"] = "lawm latents 1"
        file["id"] = np.array([name.encode() for name in found], f"S{ID_BYTES}")
        file["length"] = np.array([length for length, _ in found.values()], "<i8")
        file["count"] = np.array([len(one.values) for one in each], "<i8")
        empty = np.empty((0, info.width), "<f4")
        file["latent"] = np.concatenate([empty, *(one.values for one in each)], dtype="<f4")
        if info.codes is not None:
            codes = [one.codes for one in each if one.codes is not None]
            file["code"] = np.concatenate([np.empty(0, "<i4"), *codes], dtype="<i4")
        file.flush()
        return file.id.get_file_image()


def free_latents(corpus_path: Path, name: str, replace: bool = False) -> Path:
    """The folder of new latent actions, or with ``replace`` of some that give way to them.

    Raises:
        ConfigError: the name cannot be that of a folder.
        CorpusError: the name is taken.
    """
    if not NAME.fullmatch(name):
        raise ConfigError("cannot be the name of latent actions", repr(name), NAME_HINT)
    folder = corpus_path / LATENTS / name
    if (folder / ABOUT).exists() and not replace:
        hint = "choose another name, or replace them (--replace)"
        raise CorpusError("other latent actions have this name", str(folder), hint)
    return folder


def latent_names(corpus_path: Path) -> list[str]:
    """Names of the finished sets of latent actions of a corpus."""
    folder = corpus_path / LATENTS
    with storage_errors(folder):
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        return [e.name for e in entries if not e.name.startswith(".") and (e / ABOUT).is_file()]


def read_latent_set(folder: Path) -> LatentSet:
    """Read the ``latents.json`` of ``latents/NAME``.

    Raises:
        CorpusError: there is none, or it is damaged.
    """
    return read_description(folder / ABOUT, LatentSet, folder.name, AGAIN)


def open_latents(corpus: Corpus, name: str) -> Latents:
    """Map latent actions and check them against their corpus, checksum included.

    Raises:
        CorpusError: no such latent actions, damaged ones, or those of another corpus.
    """
    names = latent_names(corpus.path)
    folder = corpus.path / LATENTS / name
    if name not in names:
        there = ", ".join(names) or "there are none yet; lawm relabel --latents infers some"
        raise CorpusError("no such latent actions", str(folder), f"here: {there}")
    info = read_latent_set(folder)
    if info.corpus != corpus.root_fingerprint:
        what = f"belong to corpus {info.corpus[:12]}, not to {corpus.root_fingerprint[:12]}"
        raise CorpusError(what, f"latent actions {name}", AGAIN)
    latents = read_latents(folder, info)
    _, table, _ = corpus.everything()
    if fault := latents.fault(table):
        raise CorpusError(fault, f"latent actions {name}", AGAIN)
    return latents


def read_latents(folder: Path, info: LatentSet) -> Latents:
    """Map latent actions, whichever corpus they are for.

    Raises:
        CorpusError: they are damaged or missing.
    """
    file = folder / ARRAYS
    with storage_errors(file):
        try:
            mapped = MappedFile(file, sha256=info.sha256)
        except FileNotFoundError:
            raise CorpusError("is missing", str(file), AGAIN) from None
    return Latents(info, mapped)
