"""Groups of trajectories that the report tells apart: by source and quality tier."""

from __future__ import annotations

import numpy as np
from lawm_schemas import Provenance

from lawm_data.corpus.corpus import Corpus


def group_name(entry: Provenance) -> str:
    """Name of the group that trajectories of this provenance belong to."""
    return entry.source if entry.tier is None else f"{entry.source}, {entry.tier}"


def groups(view: Corpus) -> dict[str, np.ndarray]:
    """The groups that a view has trajectories of, largest first, with their places (n,)."""
    names = [group_name(entry) for entry in view.manifest.provenance]
    member = np.array(names or [""])[view.table.provenance]
    found, count = np.unique(member, return_counts=True)
    order = np.argsort(-count, kind="stable")
    return {str(found[i]): np.flatnonzero(member == found[i]) for i in order}
