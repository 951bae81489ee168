"""Controller: true actions to latent ones, without the state and with it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lawm_models.probes import regression
from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import Evidence, Row

PLACE = 7
COLUMNS = (
    Column(
        "controller",
        "controller",
        "low",
        "error where it is perfect; 1 as if nothing changed",
        "NMSE of p(s, c(a)), c a network from the true action to z, learned on the labels of the "
        "mask",
        "errors of more than one step",
    ),
    Column(
        "controller_state",
        "with state",
        "low",
        "error where it is perfect; 1 as if nothing changed",
        "the same of p(s, c(s, a)); far below the column before, z depends on the state",
        "errors of more than one step; with few labels it may overfit",
    ),
)


def measure(row: Row, evidence: Evidence) -> Mapping[str, float]:
    """See ``_protocol.ProbeModule``."""
    dynamics, latent = row.dynamics, row.fit.latent
    taught, asked = evidence.fit.shown, evidence.judged.known
    if dynamics is None or not dynamics.infers or not latent.shape[1]:
        return {}
    if not taught.any() or not asked.any():
        return {}
    judged, found = evidence.judged.take(asked), {}
    state = row.judged.state[asked]
    told = {
        "controller": (evidence.fit.action[taught], judged.action),
        "controller_state": (
            torch.cat((row.fit.state[taught], evidence.fit.action[taught]), -1),
            torch.cat((state, judged.action), -1),
        ),
    }
    for name, (known, now) in told.items():
        z = regression.network(known, latent[taught], now, evidence.steps, evidence.seed)
        predicted = dynamics.predict(state, z.to(latent.dtype))
        found[name] = evidence.error(predicted, judged.after, judged.before)
    return found
