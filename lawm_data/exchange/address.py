"""Addresses of foreign data, ``NAME:PLACE``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from lawm_schemas import ConfigError

from lawm_data.exchange.formats import FORMATS, FormatModule


class Address(NamedTuple):
    """A place in a foreign format."""

    format: str
    place: str

    def __str__(self) -> str:
        return f"{self.format}:{self.place}"


def parse_address(text: str) -> Address:
    """Parse ``NAME:PLACE``; the format is known, the place is not empty.

    Raises:
        ConfigError: says what is wrong with it.
    """
    name, colon, place = text.partition(":")
    if not colon:
        hint = f"write FORMAT:PLACE; formats: {', '.join(FORMATS.names())}"
        raise ConfigError("is not an address", repr(text), hint)
    FORMATS.find(name, repr(text))
    if not place.strip() or "\0" in place:
        about = FORMATS.load(name).ABOUT
        raise ConfigError("names no place", repr(text), f"write {name}:{about.place}")
    return Address(name, os.path.expanduser(place))  # shells do so only at the start of a word


def module_of(where: Address, verb: str, settings: Mapping[str, Any]) -> FormatModule:
    """The format, when it does what is asked of it and knows the settings."""
    module = FORMATS.load(where.format)
    if not getattr(module.ABOUT, verb):
        able = [name for name, known in FORMATS.load_all()[0].items() if getattr(known.ABOUT, verb)]
        what = "cannot be imported" if verb == "reads" else "cannot be exported"
        raise ConfigError(what, where.format, f"formats that can: {', '.join(able)}")
    for key in settings:
        if key not in module.ABOUT.settings:
            known = ", ".join(module.ABOUT.settings) or "it has none"
            raise ConfigError(f"no setting {key!r}", where.format, f"settings: {known}")
    return module
