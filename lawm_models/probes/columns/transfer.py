"""Transfer: what a latent action of one place does in another, against the simulator's truth."""

from __future__ import annotations

from collections.abc import Mapping

from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import SMALLEST, Evidence, Row

PLACE = 3
COLUMNS = (
    Column(
        "transfer",
        "transfer",
        "low",
        "0 exact; 1 as if nothing changed",
        "NMSE of p(s_B, z_A) against the simulator: set to B's recorded state, it takes A's true "
        "action",
        "nothing by itself: the anchors decide what is much",
    ),
    Column(
        "transfer_gain",
        "gain",
        "high",
        "1 as good as knowing the action; 0 as good as not; below 0 harmful",
        "(T_none - T) / (T_none - T_all), T the transfer, of state only and of acwm with all "
        "actions",
        "how a planner does, which also needs latents that lie among those of the data",
    ),
)


def measure(row: Row, evidence: Evidence) -> Mapping[str, float]:
    """See ``_protocol.ProbeModule``."""
    error = _error(row, evidence)
    if error is None:
        return {}
    none, full = (
        _error(evidence.anchors[kind], evidence) if kind in evidence.anchors else None
        for kind in ("state_only", "acwm_all")
    )
    if none is None or full is None or none - full <= SMALLEST:
        return {"transfer": error}
    return {"transfer": error, "transfer_gain": (none - error) / (none - full)}


def _error(row: Row, evidence: Evidence) -> float | None:
    pairs = evidence.transfer
    if row.dynamics is None or pairs is None:
        return None
    state, latent = row.judged.state[pairs.place], row.judged.latent[pairs.source]
    before = evidence.judged.before[pairs.place]
    return evidence.error(row.dynamics.predict(state, latent), pairs.after, before)
