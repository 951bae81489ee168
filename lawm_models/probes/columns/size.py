"""Size: how many dimensions and how many codes of a latent action are in use."""

from __future__ import annotations

from collections.abc import Mapping

from lawm_models.networks.constraints._protocol import effective_size
from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import Evidence, Row

PLACE = 10
COLUMNS = (
    Column(
        "effective_size",
        "size",
        "neither",
        "0 never changes; at most the latent's width",
        "participation ratio (Σλ)² / Σλ² of the eigenvalues of the covariance of z",
        "what the dimensions say; it changes with the scale of each",
    ),
    Column(
        "codes",
        "codes",
        "neither",
        "1 collapsed; at most the codebook's size",
        "different codes on judged transitions; of models with a codebook",
        "whether they differ in what they do",
    ),
    Column(
        "perplexity",
        "perplexity",
        "neither",
        "1 collapsed; at most codes",
        "exp of the entropy of their shares",
        "whether they differ in what they do",
        shown=False,
    ),
)


def measure(row: Row, evidence: Evidence) -> Mapping[str, float]:
    """See ``_protocol.ProbeModule``."""
    latent = row.judged.latent.double()
    if row.dynamics is None or not row.dynamics.infers or not latent.shape[1]:
        return {}
    found = {"effective_size": float(effective_size(latent, latent.new_ones(len(latent))))}
    if row.dynamics.codes is not None:
        share = latent.unique(dim=0, return_counts=True)[1].double() / len(latent)
        found["codes"] = float(len(share))
        found["perplexity"] = float((-(share * share.log()).sum()).exp())
    return found
