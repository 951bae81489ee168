"""``metadata.json`` of a Minari dataset: where datasets are, and what they say of themselves."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lawm_schemas import ConfigError, CorpusError

from lawm_data.exchange.untrusted.strict_json import strict_json
from lawm_data.system.atomic import storage_errors
from lawm_data.system.home import home_folder

ROOT = "MINARI_DATASETS_PATH"
"""Environment variable with the folder of all datasets."""
HINT = "get the dataset again from where it came from"
METADATA = "metadata.json"
HDF5 = "main_data.hdf5"
STORAGES = ("hdf5", "arrow", "parquet")
METADATA_LIMIT = 1 << 28
"""Bytes; larger metadata is not read."""
SIDECAR = "lawm"
"""Key under which an export keeps what Minari has no place for."""
VERSIONS = ("0.4.", "0.5.")
"""Versions of Minari whose datasets are read."""
_ID = re.compile(r"(?:[-\w]{2,}(?:/[-\w]{2,})*/)?[-\w]+-v\d{1,9}", re.ASCII)


class DatasetMetadata(NamedTuple):
    """What a dataset says of itself."""

    id: str
    folder: Path
    """The folder ``data``."""
    storage: str
    episodes: int
    steps: int
    jpeg: bool
    """Whether images of 32 pixels and more are JPEG."""
    observation: Any
    """The observation space, plain data."""
    action: Any
    """The action space, plain data."""
    rest: Mapping[str, Any]
    """Everything."""

    @property
    def where(self) -> str:
        """The file, for messages."""
        return str(self.folder / METADATA)


def dataset_folder(place: str) -> Path:
    """The folder of a dataset.

    Raises:
        ConfigError: not the id of a dataset; no home folder to look in.
    """
    if not _ID.fullmatch(place):
        hint = "write namespace/name-v0: two or more letters, digits, '-' and '_' in each part"
        raise ConfigError("is not the id of a Minari dataset", f"minari:{place}", hint)
    root = os.environ.get(ROOT) or home_folder(ROOT) / ".minari" / "datasets"
    return Path(root) / place


def read_metadata(place: str) -> DatasetMetadata:
    """Read and check the metadata of a dataset.

    Raises:
        ConfigError: there is no such dataset.
        CorpusError: the metadata is damaged, or of another version.
    """
    folder = dataset_folder(place) / "data"
    with storage_errors(folder):
        if not folder.is_dir():
            hint = f"download it with minari, or set {ROOT}"
            raise ConfigError("no such dataset here", str(folder.parent), hint)
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                found = Path(parent) / name
                mode = found.lstat().st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    raise CorpusError("is a link or a device", str(found), HINT)
    path = folder / METADATA
    with storage_errors(path):
        if not path.is_file():
            raise CorpusError("is missing", str(path), HINT)
        if path.stat().st_size > METADATA_LIMIT:
            raise CorpusError(f"is larger than {METADATA_LIMIT} bytes", str(path), HINT)
        data = path.read_bytes()
    rest = strict_json(data, str(path), finite=False)  # Minari writes NaN and Infinity
    if not isinstance(rest, dict):
        raise CorpusError("is not a JSON object", str(path), HINT)
    return _checked(rest, place, folder)


def _checked(rest: dict[str, Any], place: str, folder: Path) -> DatasetMetadata:
    where = str(folder / METADATA)

    def expect(key: str, kind: type, usual: Any = None) -> Any:
        value = rest.get(key, usual)
        if type(value) is not kind:
            what = "is missing" if value is None else f"is {value!r}"[:100]
            raise CorpusError(what, f"{where}: {key}", HINT)
        return value

    storage, version = expect("data_format", str, "hdf5"), expect("minari_version", str)
    if storage not in STORAGES:
        raise CorpusError(f"is {storage!r}"[:100], f"{where}: data_format", "store it as hdf5")
    if not version.startswith(VERSIONS):
        hint = "write it again with a current Minari"
        raise CorpusError(f"is {version!r}"[:100], f"{where}: minari_version", hint)
    episodes, steps = expect("total_episodes", int), expect("total_steps", int)
    if episodes < 0 or steps < 0:
        raise CorpusError("counts less than nothing", where, HINT)
    if expect("dataset_id", str) != place:
        what = f"says that it is {rest['dataset_id']!r}"[:100]
        raise CorpusError(what, where, "move it to where its id says")
    return DatasetMetadata(
        id=place,
        folder=folder,
        storage=storage,
        episodes=episodes,
        steps=steps,
        jpeg=expect("jpeg_encoding", bool, True),
        observation=_space(rest, "observation_space", where),
        action=_space(rest, "action_space", where),
        rest=rest,
    )


def _space(rest: Mapping[str, Any], key: str, where: str) -> Any:
    text = rest.get(key)
    if text is None:
        # Minari would make the environment that the metadata names: code of somebody else's choice.
        hint = "write its spaces into the metadata with Minari"
        raise CorpusError("does not say its spaces", f"{where}: {key}", hint)
    return strict_json(text, f"{where}: {key}", finite=False) if isinstance(text, str) else text
