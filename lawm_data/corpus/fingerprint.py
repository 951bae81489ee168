"""What makes two corpora the same: their specs and their trajectories, in order."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, Manifest

from lawm_data.corpus.table import ID_BYTES, Table


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


def visible_fingerprint(
    manifest: Manifest, table: Table, digests: np.ndarray, hidden: np.ndarray
) -> str:
    """Fingerprint that covers no action of hidden trajectories, of which the digests know.

    Corpora that differ in these actions alone have the same one. Without hidden trajectories it is
    ``fingerprint_of``.

    Args:
        manifest: the specs.
        table: the trajectories.
        digests: (N, 32) uint8: content hash of each, actions included.
        hidden: (N,) bool: whose actions are not to be told from others.
    """
    if not hidden.any():
        return fingerprint_of(manifest, table.ids, digests)
    running = start_fingerprint(manifest)
    feed_trajectories(running, table.ids, np.where(hidden[:, None], np.uint8(0), digests))
    # ids stand for observations and rewards; these could differ under ids that were given by hand
    known = (table.length, table.episode_return, table.terminated, table.truncated)
    for column in known:
        running.update(np.ascontiguousarray(column[hidden]).data)
    return running.hexdigest()
