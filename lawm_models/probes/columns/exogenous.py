"""Exogenous change in latent actions: what moves by itself, which no action should tell."""

from __future__ import annotations

from collections.abc import Mapping

from lawm_models.probes import regression
from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import Evidence, Row

PLACE = 6
COLUMNS = (
    Column(
        "exogenous",
        "exogenous",
        "low",
        "0 nothing; 1 all of it",
        "R² of the change of the exogenous arrays by least squares from z, learned on trajectories "
        "that trainings have seen; of corpora with such arrays (distractors)",
        "what of it a network would find, and whether it is in the way of anything",
    ),
)


def measure(row: Row, evidence: Evidence) -> Mapping[str, float]:
    """See ``_protocol.ProbeModule``."""
    change, truth = evidence.fit.exogenous, evidence.judged.exogenous
    if row.dynamics is None or not row.dynamics.infers or not row.fit.latent.shape[1]:
        return {}
    if not truth.shape[1]:
        return {}
    r2 = regression.explained(regression.linear(row.fit.latent, change, row.judged.latent), truth)
    return {} if r2 is None else {"exogenous": r2}
