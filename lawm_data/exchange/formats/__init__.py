"""Foreign formats by name: one module of this folder, or of another package, is one format."""

from __future__ import annotations

from collections.abc import Callable

from lawm_data.exchange.formats._protocol import About as About
from lawm_data.exchange.formats._protocol import Episode as Episode
from lawm_data.exchange.formats._protocol import FormatModule as FormatModule
from lawm_data.exchange.formats._protocol import Incoming as Incoming
from lawm_data.exchange.formats._protocol import Outgoing as Outgoing
from lawm_data.system.registry import Modules

FORMATS = Modules[FormatModule](
    "format", __name__, "lawm.formats", {"ABOUT": About, "read": Callable}
)
"""Every format; a module imports foreign packages only when it reads or writes."""
