"""Foreign formats by name. The folder is the registry: one module, one format."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, cast

from lawm_schemas import ConfigError

if TYPE_CHECKING:
    from lawm_data.exchange.formats._protocol import FormatModule


def names() -> list[str]:
    """Every format's name, sorted; imports none of them."""
    found = pkgutil.iter_modules(__path__)
    return sorted(m.name for m in found if not m.name.startswith("_"))


def load(name: str) -> FormatModule:
    """The module of one format; it imports foreign packages only when it reads or writes.

    Raises:
        ConfigError: there is no such format.
    """
    if name not in names():
        known = ", ".join(names())
        raise ConfigError(f"no format {name!r}", "format", f"known ones: {known}")
    return cast("FormatModule", importlib.import_module(f"{__name__}.{name}"))
