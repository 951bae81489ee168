"""Episodes of a Minari dataset as arrays by place, whatever they are stored in."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from lawm_schemas import CorpusError
from lawm_schemas.errors import reason_of

from lawm_data.exchange.formats.minari.metadata import HDF5, HINT, DatasetMetadata
from lawm_data.exchange.untrusted.hdf5 import ForeignFile
from lawm_data.system.hdf5 import LIBRARY_ERRORS
from lawm_data.system.optional import optional

TRAJECTORY_LIMIT = 1 << 33
"""Bytes of one array of one episode; a trajectory is in memory as a whole."""


class StoredEpisode(Protocol):
    """One episode."""

    where: str
    """For messages."""

    def has(self, place: str) -> bool:
        """Whether an array or a group is there."""
        ...

    def array(self, place: str) -> np.ndarray:
        """A whole array of numbers.

        Raises:
            CorpusError: missing, damaged, or not numbers.
        """
        ...

    def images(self, place: str, shape: tuple[int, ...]) -> tuple[np.ndarray, bool]:
        """Images (rows, *shape) uint8, and whether they were JPEG."""
        ...

    def infos(self) -> list[str]:
        """Names of what ``infos`` holds."""
        ...

    def attributes(self) -> dict[str, Any]:
        """Numbers and texts that describe the episode, as they are stored."""
        ...

    def described(self) -> tuple[dict[str, Any], list[str]]:
        """What describes the episode, as plain data, and the names of what is none.

        Options of the reset are nested as they were given: ``{"options": {"goal": [1.0, 2.0]}}``.
        """
        ...


class ImageFile(ForeignFile):
    """An HDF5 file in which arrays of encoded images may stand, too."""

    def dataset(self, name: str) -> h5py.Dataset:
        """An array of any type.

        Raises:
            CorpusError: missing, or stored in another file.
        """
        with self._distrust(name):
            dataset = self._dataset(name)
            if dataset.is_virtual or dataset.external:
                raise self.refuse(name, "is stored in another file")
        return dataset


class Hdf5Episodes:
    """The HDF5 storage.

    Args:
        metadata: of the dataset.

    Raises:
        CorpusError: no HDF5 file, or it holds other episodes than the metadata says.
    """

    def __init__(self, metadata: DatasetMetadata) -> None:
        self.file = ImageFile(metadata.folder / HDF5)
        found = set(self.file.names(kind="group"))
        count = metadata.episodes
        if len(found) != count or any(f"episode_{i}" not in found for i in range(count)):
            what = f"holds {len(found)} episodes where the metadata says {count}"
            raise CorpusError(what, str(self.file.path), HINT)

    def open(self, i: int) -> StoredEpisode:
        """Episode ``i``."""
        return _Hdf5Episode(self.file, f"episode_{i}")


class _Hdf5Episode:
    def __init__(self, file: ImageFile, group: str) -> None:
        self._file, self._group = file, group
        self.where = file.where(group)

    def has(self, place: str) -> bool:
        return self._file.has(f"{self._group}/{place}")

    def array(self, place: str) -> np.ndarray:
        name = f"{self._group}/{place}"
        found = self._file.rows(name)
        if np.prod([*map(float, found.shape)]) * found.dtype.itemsize > TRAJECTORY_LIMIT:
            raise self._file.refuse(name, f"has shape {found.shape}, too large for one trajectory")
        return found[()]

    def images(self, place: str, shape: tuple[int, ...]) -> tuple[np.ndarray, bool]:
        name = f"{self._group}/{place}"
        dataset = encoded_images(self._file, name)
        if dataset is None or dataset.shape[1:] == shape:
            return self.array(place), False
        return _decoded(dataset, shape, self._file.where(name)), True

    def infos(self) -> list[str]:
        group = f"{self._group}/infos"
        return sorted({*self._file.names(group), *self._file.names(group, kind="group")})

    def attributes(self) -> dict[str, Any]:
        return self._file.attributes(self._group)

    def described(self) -> tuple[dict[str, Any], list[str]]:
        found, left = self._file.described(self._group)
        return _nested(found), left


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Values by paths such as ``options/goal`` in dicts; what lies below a value stays flat."""
    found: dict[str, Any] = {}
    for path, value in flat.items():
        *above, last = path.split("/")
        place = found
        if any(parent in flat for parent in accumulate(above, "{}/{}".format)):
            above, last = [], path
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
    return found


def encoded_images(file: ImageFile, name: str) -> h5py.Dataset | None:
    """The dataset, when it can be rows of bytes: (rows, n) uint8, or of unequal lengths."""
    dataset = file.dataset(name)
    vlen = h5py.check_vlen_dtype(dataset.dtype)
    if vlen is not None and vlen == np.uint8 and dataset.ndim == 1:
        return dataset
    shape, dtype = file.header(name)
    return dataset if dtype == np.uint8 and len(shape) == 2 else None


def _decoded(dataset: h5py.Dataset, shape: tuple[int, ...], where: str) -> np.ndarray:
    """JPEG pictures of a known size; the size is looked at before a picture is decoded."""
    image = optional("PIL.Image", "minari", where)
    rows = len(dataset)
    if rows * float(np.prod(shape)) > TRAJECTORY_LIMIT:
        raise CorpusError(f"has {rows} images of shape {shape}", where, "cut the trajectory")
    pictures = np.empty((rows, *shape), np.uint8)
    for row in range(rows):
        try:
            data = np.asarray(dataset[row], np.uint8).tobytes()
            with image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
                if (picture.height, picture.width) != shape[:2]:
                    what = f"image {row} is {picture.width} x {picture.height} pixels"
                    raise CorpusError(what, where, HINT)
                pictures[row] = np.asarray(picture).reshape(shape)
        except (*LIBRARY_ERRORS, SyntaxError) as error:
            what = f"image {row} cannot be decoded ({reason_of(error)})"
            raise CorpusError(what, where, HINT) from None
    return pictures


class ArrowEpisodes:
    """The Arrow and Parquet storages, read by Minari itself; an episode is read as a whole.

    Minari reads all or nothing. An episode with a flat array among its ``infos``, which its writer
    takes and its reader does not, is read once more, array by array.

    Args:
        metadata: of the dataset.

    Raises:
        ConfigError: Minari or pyarrow is missing.
        CorpusError: Minari cannot open it.
    """

    def __init__(self, metadata: DatasetMetadata) -> None:
        self.metadata = metadata
        optional("pyarrow", "minari", metadata.id)
        storage = optional("minari.dataset.minari_storage", "minari", metadata.id)
        with _minari_errors(str(metadata.folder)):
            self._storage = storage.MinariStorage.read(metadata.folder)

    def open(self, i: int) -> StoredEpisode:
        """Episode ``i``."""
        where = str(self.metadata.folder / str(i))
        with _minari_errors(where):
            (attributes,) = self._storage.get_episode_metadata([i])
        try:
            (found,) = self._storage.get_episodes([i])
        except Exception:
            with _minari_errors(where):
                found = self._by_array(i)
        return _ArrowEpisode(found, attributes, where, self.metadata.jpeg)

    def _by_array(self, i: int) -> dict[str, Any]:
        """An episode as Minari gives it; ``infos`` that it cannot read are None."""
        storage = self._storage
        minari = sys.modules[type(storage).__module__]
        batches = minari.ds.dataset(
            self.metadata.folder / str(i),
            format=storage.FORMAT,
            ignore_prefixes=["_", ".", "metadata.json"],
        ).to_batches()
        (rows,) = [batch for batch in batches if len(batch)]

        def of_space(name: str, end: int) -> Any:
            space = getattr(storage, f"{name.removesuffix('s')}_space")
            return minari._decode_space(space, rows[name][:end], storage._jpeg_encoding)

        episode: dict[str, Any] = {
            "observations": of_space("observations", len(rows)),
            "actions": of_space("actions", -1),
        }
        for name in ("rewards", "terminations", "truncations"):
            episode[name] = np.asarray(rows[name])[:-1]
        episode["infos"] = infos = {}
        if "infos" in rows.schema.names:
            for array, field in zip(rows["infos"].flatten(), rows["infos"].type, strict=True):
                infos[field.name] = None
                with contextlib.suppress(Exception):
                    one = minari.pa.StructArray.from_arrays([array], fields=[field])
                    infos |= minari._decode_info(one)
        return episode


class _ArrowEpisode:
    def __init__(self, found: Mapping[str, Any], attributes: Any, where: str, jpeg: bool) -> None:
        self._found, self._attributes, self.where, self._jpeg = found, attributes, where, jpeg

    def _at(self, place: str) -> Any:
        node: Any = self._found
        for part in place.split("/"):
            if isinstance(node, tuple) and part.startswith("_index_"):
                node = node[int(part.removeprefix("_index_"))]
            else:
                node = node.get(part) if isinstance(node, Mapping) else None
        return node

    def has(self, place: str) -> bool:
        return self._at(place) is not None

    def array(self, place: str) -> np.ndarray:
        found = self._at(place)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
            raise CorpusError("is not an array of numbers", f"{self.where}: {place}", HINT)
        return found

    def images(self, place: str, shape: tuple[int, ...]) -> tuple[np.ndarray, bool]:
        return self.array(place), self._jpeg

    def infos(self) -> list[str]:
        return sorted(self._found.get("infos") or {})

    def attributes(self) -> dict[str, Any]:
        return dict(self._attributes) if isinstance(self._attributes, Mapping) else {}

    def described(self) -> tuple[dict[str, Any], list[str]]:
        found, left = self.attributes(), []
        for key, value in list(found.items()):
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                left.append(key)
                del found[key]
        return found, left


def open_episodes(metadata: DatasetMetadata) -> Hdf5Episodes | ArrowEpisodes:
    """The episodes of a dataset."""
    return Hdf5Episodes(metadata) if metadata.storage == "hdf5" else ArrowEpisodes(metadata)


def files_of(metadata: DatasetMetadata) -> tuple[Path, ...]:
    """All files of a dataset."""
    return tuple(sorted(path for path in metadata.folder.rglob("*") if path.is_file()))


@contextlib.contextmanager
def _minari_errors(where: str) -> Iterator[None]:
    """Whatever Minari and pyarrow raise on damaged files becomes one line."""
    try:
        yield
    except Exception as error:
        raise CorpusError(f"Minari cannot read it ({reason_of(error)})", where, HINT) from None
