"""Packages that only some users need: imported when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lawm_schemas import ConfigError


def optional(module: str, extra: str, where: str, package: str | None = None) -> Any:
    """A module of a package that an extra of ours brings.

    Args:
        module: its name.
        extra: which extra, as in ``pip install 'lawm[EXTRA]'``.
        where: what needs it, for the message.
        package: what the package is called; None takes the name of the module that is missing.

    Raises:
        ConfigError: it, or what it imports itself, is missing.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        what = f"needs the package {package or error.name}"
        raise ConfigError(what, where, f"pip install 'lawm[{extra}]'") from None
