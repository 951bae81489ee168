"""Steps from which an action can be learned, or judged: what was done is known, and where it led.

The last observation of a trajectory may not have been recorded; the action before it may have been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

if TYPE_CHECKING:
    from lawm_data.corpus.corpus import Corpus
    from lawm_data.corpus.trajectory import Trajectory


def known_transitions(trajectory: Trajectory) -> Bool[np.ndarray, " T"]:
    """Steps whose action was observed, and the observation after it recorded."""
    known = trajectory.action_observed.copy()
    known[-1] &= trajectory.final_observed
    return known


def with_known_transitions(view: Corpus) -> Bool[np.ndarray, " N"]:
    """Trajectories of a view with such a step."""
    table = view.table
    found = table.num_observed > 0
    # the one observed action may be the last one
    for place in np.flatnonzero((table.num_observed == 1) & ~table.final_observed).tolist():
        found[place] = known_transitions(view[place]).any()
    return found
