"""Leak: the share of an arbitrary jump that a latent action carries."""

from __future__ import annotations

from collections.abc import Mapping

from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import Evidence, Row

PLACE = 2
COLUMNS = (
    Column(
        "leak",
        "leak",
        "low",
        "0 none; 1 every jump, so the latent is the next observation; below 0 it misleads",
        "1 - NMSE of p(s_A, g(s_A, o'_B)) for the jump from o_A to o'_B, the observation after a "
        "transition B that was drawn at random",
        "a jump may be partly what an action can do, as a large change of speed: compare rows, "
        "not with 0",
    ),
)


def measure(row: Row, evidence: Evidence) -> Mapping[str, float]:
    """See ``_protocol.ProbeModule``."""
    if row.dynamics is None or not row.dynamics.infers:
        return {}
    jump, state = evidence.judged.after[evidence.other], row.judged.state
    predicted = row.dynamics.predict(state, row.dynamics.infer(state, jump))
    return {"leak": 1 - evidence.error(predicted, jump, evidence.judged.before)}
