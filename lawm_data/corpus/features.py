"""Features: what a frozen encoder makes of every observation, beside a corpus and never in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lawm_schemas import ConfigError, CorpusError, FeatureSet

from lawm_data.corpus.mask import NAME, NAME_HINT
from lawm_data.corpus.overlay import read_description
from lawm_data.corpus.store import Store
from lawm_data.corpus.table import ID_BYTES
from lawm_data.system.atomic import own_folder, sha256_file, storage_errors, write_folder
from lawm_data.system.hdf5 import MappedFile, file_in_memory

FEATURES = "features"
ABOUT = "features.json"
ARRAYS = "features.h5"
ENCODER = "encoder.safetensors"
PARTS = ".parts"
"""Suffix of the folder of features in the making, with which a killed command goes on."""
STORED = "<f2"
"""Type on disk: what a network makes of a picture is not known to four digits."""
AGAIN = "make them again (lawm-data features --replace)"
"""What to do about features that cannot be used."""


class Features(NamedTuple):
    """Features, mapped."""

    info: FeatureSet
    """``features.json``."""
    ids: np.ndarray
    """(N,) bytes: trajectories, in the order of their corpus."""
    length: np.ndarray
    """(N,) int64: their steps."""
    rows: np.ndarray
    """(R, D) float16: T+1 rows for each of them, end to end."""

    def by_id(self) -> Iterator[tuple[str, np.ndarray]]:
        """Id and features, (T+1, D) float16, of each trajectory."""
        ends = np.cumsum(self.length + 1)
        for name, rows in zip(self.ids.tolist(), np.split(self.rows, ends[:-1]), strict=True):
            yield name.decode(), rows


def save_features(
    folder: Path, info: FeatureSet, found: Mapping[str, np.ndarray], encoder: bytes
) -> FeatureSet:
    """Write ``features/NAME``; count, width and checksums are filled in.

    Args:
        folder: where; one that exists gives way.
        info: what they say of themselves.
        found: features of each trajectory, (T+1, D) float16, by id, in the order of the corpus.
        encoder: the weights that made them.

    Raises:
        StorageError: the file system refused.
    """
    data = _encoded(found, info.width)
    update = {
        "trajectories": len(found),
        "sha256": hashlib.sha256(data).hexdigest(),
        "encoder_sha256": hashlib.sha256(encoder).hexdigest(),
    }
    info = info.model_copy(update=update)
    own_folder(folder.parent)
    write_folder(folder, {ARRAYS: data, ENCODER: encoder, ABOUT: info.to_json().encode()})
    return info


def _encoded(found: Mapping[str, np.ndarray], width: int) -> bytes:
    """The bytes of ``features.h5``."""
    with file_in_memory() as file:
        file.attrs["format"] = "lawm features 1"
        file["id"] = np.array([name.encode() for name in found], f"S{ID_BYTES}")
        file["length"] = np.array([len(rows) - 1 for rows in found.values()], "<i8")
        empty = np.empty((0, width), STORED)
        file["features"] = np.concatenate([empty, *found.values()], dtype=STORED)
        file.flush()
        return file.id.get_file_image()


def free_features(store_path: Path, name: str, fields: Sequence[str], replace: bool) -> Path:
    """The folder of new features, or with ``replace`` of some that give way to them.

    Args:
        store_path: folder of the corpus.
        name: of the features.
        fields: names of the corpus's observations.
        replace: features of this name give way.

    Raises:
        ConfigError: the name cannot be that of a folder, or is that of a field.
        CorpusError: the name is taken.
    """
    if not NAME.fullmatch(name):
        raise ConfigError("cannot be the name of features", repr(name), NAME_HINT)
    if name in fields:
        what = "is the name of a field of the corpus"
        raise ConfigError(what, f"--name {name}", "choose another name")
    folder = store_path / FEATURES / name
    if (folder / ABOUT).exists() and not replace:
        hint = "choose another name, or replace them (--replace)"
        raise CorpusError("other features have this name", str(folder), hint)
    return folder


def feature_names(path: Path) -> list[str]:
    """Names of the finished features of a corpus."""
    folder = path / FEATURES
    with storage_errors(folder):
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        return [e.name for e in entries if not e.name.startswith(".") and (e / ABOUT).is_file()]


def read_feature_set(folder: Path) -> FeatureSet:
    """Read the ``features.json`` of ``features/NAME``.

    Raises:
        CorpusError: there is none, or it is damaged.
    """
    return read_description(folder / ABOUT, FeatureSet, folder.name, AGAIN)


def open_features(store: Store, name: str, verify: bool = False) -> Features:
    """Map features and check them against their corpus.

    Args:
        store: the corpus.
        name: of the features.
        verify: compare the checksums too.

    Raises:
        CorpusError: no such features, damaged ones, or those of another corpus.
    """
    names = feature_names(store.path)
    folder = store.path / FEATURES / name
    if name not in names:
        there = ", ".join(names) or "there are none yet; lawm-data features makes some"
        raise CorpusError("no such features", str(folder), f"features here: {there}")
    info = read_feature_set(folder)
    here = store.manifest.fingerprint
    if info.corpus != here:
        what = f"belong to corpus {info.corpus[:12]}, not to {here[:12]}"
        raise CorpusError(what, f"features {name}", AGAIN)
    found = read_features(folder, info, verify)
    same = np.array_equal(found.ids, store.table.ids)
    if not same or not np.array_equal(found.length, store.table.length):
        raise CorpusError("are not of the trajectories of the corpus", str(folder), AGAIN)
    return found


def read_features(folder: Path, info: FeatureSet, verify: bool = False) -> Features:
    """Map the arrays of features, whichever corpus they are for.

    Raises:
        CorpusError: they are damaged or missing.
    """
    file, weights = folder / ARRAYS, folder / ENCODER
    with storage_errors(folder):
        try:
            mapped = MappedFile(file, sha256=info.sha256 if verify else None)
        except FileNotFoundError:
            raise CorpusError("is missing", str(file), AGAIN) from None
        if not weights.is_file():
            raise CorpusError("is missing", str(weights), AGAIN)
        if verify and sha256_file(weights) != info.encoder_sha256:
            raise CorpusError("was altered: its checksum differs", str(weights), AGAIN)
    n = info.trajectories
    ids = mapped.array("id", f"S{ID_BYTES}", (n,))
    length = mapped.array("length", "<i8", (n,))
    rows = mapped.array("features", STORED, (-1, info.width))
    mapped.close()
    if (length < 1).any() or int((length + 1).sum()) != len(rows):
        raise CorpusError("its rows do not match its arrays", str(file), AGAIN)
    return Features(info, ids, length, rows)
