"""Algorithms by name. The folder is the registry: one module, one algorithm."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, cast

from lawm_schemas import ConfigError

if TYPE_CHECKING:
    from lawm_models.algorithms._protocol import AlgorithmModule


def names() -> list[str]:
    """Every algorithm's name, sorted; imports none of them."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> AlgorithmModule:
    """The module of one algorithm, with its ``Config`` and ``Algorithm``.

    Raises:
        ConfigError: there is no such algorithm.
    """
    if name not in names():
        known = ", ".join(names())
        raise ConfigError(f"no algorithm {name!r}", "algorithm.name", f"known ones: {known}")
    return cast("AlgorithmModule", importlib.import_module(f"{__name__}.{name}"))
