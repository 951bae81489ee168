"""Cycle: a latent action that is carried to another place, read back there, and used at home."""

from __future__ import annotations

from collections.abc import Mapping

from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import SMALLEST, Evidence, Row

PLACE = 4
COLUMNS = (
    Column(
        "cycle",
        "cycle",
        "low",
        "0 exact; 1 as if nothing changed; compare with error",
        "NMSE of p(s_A, g(s_B, p(s_B, z_A))) for the transition of A",
        "necessary only: a latent that says nothing comes back as it went, and so does a code",
    ),
    Column(
        "cycle_ratio",
        "cycle ratio",
        "low",
        "1 nothing lost on the way",
        "cycle / error, as papers print it",
        "orders models wrongly where the error is small",
        shown=False,
    ),
)


def measure(row: Row, evidence: Evidence) -> Mapping[str, float]:
    """See ``_protocol.ProbeModule``."""
    if row.dynamics is None or not row.dynamics.infers:
        return {}
    home, judged = row.judged.state, evidence.judged
    away = home[evidence.other]
    returned = row.dynamics.infer(away, row.dynamics.predict(away, row.judged.latent))
    cycle = evidence.error(row.dynamics.predict(home, returned), judged.after, judged.before)
    error = evidence.one_step_error(row)
    assert error is not None
    return {"cycle": cycle, **({"cycle_ratio": cycle / error} if error > SMALLEST else {})}
