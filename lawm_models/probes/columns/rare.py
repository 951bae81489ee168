"""Rare transitions: the tenth that changes most, which an average hides."""

from __future__ import annotations

from collections.abc import Mapping

from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import SMALLEST, Evidence, Row

PLACE = 9
SHARE = 0.1
"""Of the judged transitions."""
COLUMNS = (
    Column(
        "rare",
        "rare",
        "low",
        "0 exact; 1 no better than without a latent",
        "NMSE on the 10% of transitions that change most, in units of σ_Δ, over that of state only "
        "there",
        "whether a large change is a rare event",
    ),
)


def measure(row: Row, evidence: Evidence) -> Mapping[str, float]:
    """See ``_protocol.ProbeModule``."""
    none = evidence.anchors.get("state_only")
    if row.dynamics is None or none is None:
        return {}
    without = _error(none, evidence)
    return {"rare": _error(row, evidence) / without} if without > SMALLEST else {}


def _error(row: Row, evidence: Evidence) -> float:
    judged = evidence.judged
    size = ((judged.after - judged.before) / evidence.unit).square().sum(-1)
    most = size.argsort(descending=True, stable=True)[: max(1, round(SHARE * len(size)))]
    assert row.dynamics is not None
    predicted = row.dynamics.predict(row.judged.state[most], row.judged.latent[most])
    return evidence.error(predicted, judged.after[most], judged.before[most])
