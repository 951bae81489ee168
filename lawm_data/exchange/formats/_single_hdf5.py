"""Formats that are one HDF5 file: reading theirs and our own, and where one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lawm_schemas import ConfigError

from lawm_data.exchange.formats._own_hdf5 import Own
from lawm_data.exchange.formats._protocol import Incoming
from lawm_data.exchange.untrusted.hdf5 import ForeignFile


def read_file(
    place: str,
    settings: Mapping[str, Any],
    group: str,
    restored: Callable[[ForeignFile, Own, Mapping[str, Any]], Incoming],
    recorded: Callable[[ForeignFile, Mapping[str, Any]], Incoming],
) -> Incoming:
    """Open a file, and close it again if it cannot be read.

    Args:
        place: the file.
        settings: of the format.
        group: where this package leaves what the format has no place for.
        restored: reads a file with that group.
        recorded: reads a file without it, from elsewhere.

    Raises:
        CorpusError: the file is damaged, or of another format.
        ConfigError: a setting makes no sense.
    """
    file = ForeignFile(Path(place))
    try:
        if file.has(group):
            return restored(file, Own(file, group), settings)
        return recorded(file, settings)
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
