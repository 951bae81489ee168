"""Error and capacity: how well a latent action tells what follows, between none and a free one."""

from __future__ import annotations

from collections.abc import Mapping

from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import SMALLEST, Evidence, Row

PLACE = 1
COLUMNS = (
    Column(
        "error",
        "error",
        "low",
        "0 exact; 1 as if nothing changed",
        "NMSE of the next observation with the action inferred from it; of a model of true actions "
        "with these",
        "a latent that copies the next observation has none",
    ),
    Column(
        "capacity",
        "capacity",
        "neither",
        "0 collapsed; 1 unconstrained",
        "(e_none - e) / (e_none - e_free): of what the state leaves open, the share that the "
        "latent tells; e_none is the error of state only, e_free of unconstrained",
        "whether what it tells is an action",
    ),
)


def measure(row: Row, evidence: Evidence) -> Mapping[str, float]:
    """See ``_protocol.ProbeModule``."""
    error = evidence.one_step_error(row)
    if error is None:
        return {}
    none, free = evidence.anchor_error("state_only"), evidence.anchor_error("unconstrained")
    if none is None or free is None or none - free <= SMALLEST:
        return {"error": error}
    return {"error": error, "capacity": (none - error) / (none - free)}
