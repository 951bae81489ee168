"""What makes two corpora the same: their specs and their trajectories, in order."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, Manifest

from lawm_data.corpus.table import ID_BYTES


def start_fingerprint(manifest: Manifest) -> Any:
    """Running sha256 over the specs; trajectories are fed to it with ``feed_trajectories``.

    Environment, provenance, licence and lineage are said about the content and are not part of
    it; neither are path, time and the division into shards.
    """

    def described(spec: ArraySpec) -> dict[str, Any]:
        # The keys are fixed here: a new field of the schema must not change old fingerprints.
        keys = ("name", "shape", "dtype", "role", "low", "high")
        return spec.model_dump(mode="json", include=set(keys))

    specs = {
        "observations": [described(spec) for spec in manifest.observations],
        "action": described(manifest.action),
    }
    text = json.dumps(specs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode() + b"\0")


def feed_trajectories(running: Any, ids: np.ndarray, digests: np.ndarray) -> None:
    """Feed ids (N,) bytes and digests (N, 32) uint8 of consecutive trajectories."""
    rows = np.zeros((len(ids), ID_BYTES + digests.shape[1]), np.uint8)
    padded = np.ascontiguousarray(ids.astype(f"S{ID_BYTES}"))
    rows[:, :ID_BYTES] = padded.view(np.uint8).reshape(len(ids), ID_BYTES)
    rows[:, ID_BYTES:] = digests
    running.update(rows.data)


def fingerprint_of(manifest: Manifest, ids: np.ndarray, digests: np.ndarray) -> str:
    """Fingerprint of a whole corpus or of a filtered view."""
    running = start_fingerprint(manifest)
    feed_trajectories(running, ids, digests)
    return running.hexdigest()
