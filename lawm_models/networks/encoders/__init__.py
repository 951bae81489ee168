"""Encoders by name: how observations enter a model. The folder is the registry."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, cast

from lawm_schemas import ConfigError

if TYPE_CHECKING:
    from lawm_models.networks.encoders._protocol import EncoderModule


def names() -> list[str]:
    """Every encoder's name, sorted; imports none of them."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> EncoderModule:
    """The module of one encoder, with its ``Config``, ``Encoder`` and ``Decoder``.

    Raises:
        ConfigError: there is no such encoder.
    """
    if name not in names():
        known = ", ".join(names())
        raise ConfigError(f"no encoder {name!r}", "encoder.name", f"known ones: {known}")
    return cast("EncoderModule", importlib.import_module(f"{__name__}.{name}"))
