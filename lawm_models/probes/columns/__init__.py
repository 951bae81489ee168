"""Columns of the table, by the name of their module: one module of this folder is one probe."""

from __future__ import annotations

from types import FunctionType

from lawm_data.system.registry import Modules
from lawm_models.probes.columns._protocol import Column as Column
from lawm_models.probes.columns._protocol import ProbeModule as ProbeModule

PROBES = Modules[ProbeModule](
    "probe",
    __name__,
    "lawm.probes",
    {"PLACE": int, "COLUMNS": tuple, "measure": FunctionType},
)
"""Every probe."""
