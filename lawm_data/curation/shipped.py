"""The corpora that are in the package."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from lawm_schemas import ConfigError

from lawm_data.corpus.store import read_manifest
from lawm_data.system.atomic import storage_errors
from lawm_data.system.output import new_output

FOLDER = "shipped"
"""Where they are in the package."""


def shipped_corpora() -> list[str]:
    """Their names."""
    folder = files("lawm_data") / FOLDER
    return sorted(entry.name for entry in folder.iterdir() if (entry / "corpus.json").is_file())


def shipped_fingerprint(name: str) -> str:
    """Fingerprint of one of them."""
    with as_file(files("lawm_data") / FOLDER / name) as folder:
        return read_manifest(folder).fingerprint


def unpack_corpus(path: Path, name: str = "cartpole-swingup") -> Path:
    """Copy one to where masks and labels can be written beside it; one that is there stays.

    Args:
        path: its new folder.
        name: which one.

    Raises:
        ConfigError: there is none of that name.
        StorageError: the file system refused.
    """
    known = shipped_corpora()
    if name not in known:
        raise ConfigError(f"no corpus {name!r} in the package", "shipped", f"it has {known[0]}")
    if path.exists():
        return path
    with (
        new_output(path) as temporary,
        storage_errors(path),
        as_file(files("lawm_data") / FOLDER / name) as shipped,
    ):
        shutil.copytree(shipped, temporary)
    return path
