"""The home folder, below which others and we keep what was fetched or compiled."""

from __future__ import annotations

from pathlib import Path

from lawm_schemas import ConfigError


def home_folder(instead: str) -> Path:
    """The user's home folder.

    Args:
        instead: environment variable that names the folder that is looked for below it.

    Raises:
        ConfigError: there is none, as of users whom the system does not know.
    """
    try:
        return Path.home()
    except RuntimeError:
        raise ConfigError("there is no home folder", "~", f"set {instead}") from None
