"""Addresses of foreign data, ``NAME:PLACE``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from lawm_schemas import ConfigError

from lawm_data.exchange import formats
from lawm_data.exchange.formats._protocol import FormatModule


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
    known = formats.names()
    if not colon:
        hint = f"write FORMAT:PLACE; formats: {', '.join(known)}"
        raise ConfigError("is not an address", repr(text), hint)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"nearest: {near[0]}" if near else f"known ones: {', '.join(known)}"
        raise ConfigError(f"no format {name!r}", repr(text), hint)
    if not place.strip() or "\0" in place:
        about = formats.load(name).ABOUT
        raise ConfigError("names no place", repr(text), f"write {name}:{about.place}")
    return Address(name, os.path.expanduser(place))  # shells do so only at the start of a word


def module_of(where: Address, verb: str, settings: Mapping[str, Any]) -> FormatModule:
    """The format, when it does what is asked of it and knows the settings."""
    module = formats.load(where.format)
    if not getattr(module.ABOUT, verb):
        able = [name for name in formats.names() if getattr(formats.load(name).ABOUT, verb)]
        what = "cannot be imported" if verb == "reads" else "cannot be exported"
        raise ConfigError(what, where.format, f"formats that can: {', '.join(able)}")
    for key in settings:
        if key not in module.ABOUT.settings:
            known = ", ".join(module.ABOUT.settings) or "it has none"
            raise ConfigError(f"no setting {key!r}", where.format, f"settings: {known}")
    return module
