"""True actions from latent ones: alone, with the state, and from the state without them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lawm_models.probes import regression
from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import Evidence, Row

PLACE = 5
RANGE = "1 exact; 0 as good as the mean; below 0 worse"
COLUMNS = (
    Column(
        "action_linear",
        "z→a",
        "high",
        RANGE,
        "R² of the true action by least squares from z alone, learned on the labels of the mask",
        "a latent that means another thing in every state, or copies what follows, may score high",
    ),
    Column(
        "action_from_both",
        "(s,z)→a",
        "high",
        RANGE,
        "the same by a network from state and z; of IDM from both observations",
        "it is the same for latents that transfer and that do not",
    ),
    Column(
        "action_from_state",
        "s→a",
        "neither",
        RANGE,
        "the same from the state alone: what needs no latent",
        "anything of the latent",
    ),
)


def measure(row: Row, evidence: Evidence) -> Mapping[str, float]:
    """See ``_protocol.ProbeModule``."""
    if row.kind in ("acwm", "acwm_all"):
        return {}
    taught, asked = evidence.fit.shown, evidence.judged.known
    if not taught.any() or not asked.any():
        return {}
    (s, z), (s_asked, z_asked) = ([x[taught] for x in row.fit], [x[asked] for x in row.judged])
    action, truth = evidence.fit.action[taught], evidence.judged.action[asked]
    tuned = (evidence.steps, evidence.seed)
    predicted = {"action_from_state": regression.network(s, action, s_asked, *tuned)}
    if z.shape[1]:
        both, both_asked = torch.cat((s, z), -1), torch.cat((s_asked, z_asked), -1)
        predicted["action_from_both"] = regression.network(both, action, both_asked, *tuned)
    if z.shape[1] and row.kind != "idm":
        predicted["action_linear"] = regression.linear(z, action, z_asked)
    found = {name: regression.explained(x, truth) for name, x in predicted.items()}
    return {name: r2 for name, r2 in found.items() if r2 is not None}
