"""The picture of a dataset card: how the returns are distributed."""

from __future__ import annotations

import io

import numpy as np

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.table import OBSERVED

BINS = 40
LABELED, UNLABELED = "#2b6cb0", "#cbd5e0"


def draw_returns(view: Corpus) -> bytes:
    """A histogram of the returns as a PNG file; trajectories with all their actions are blue.

    Those whose rewards were not recorded are left out. The same view gives the same bytes.
    """
    # Figure without pyplot: no global state, no display, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = view.table
    labeled = (table.labels == OBSERVED) & (table.num_observed == table.length)
    every, edges = np.histogram(table.episode_return[table.rewarded], BINS)
    some, _ = np.histogram(table.episode_return[table.rewarded & labeled], edges)
    figure = Figure(figsize=(7, 2.6), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.subplots(gridspec_kw={"left": 0.08, "right": 0.98, "bottom": 0.2, "top": 0.95})
    axes.stairs(every, edges, fill=True, color=UNLABELED, label="without actions")
    axes.stairs(some, edges, fill=True, color=LABELED, label="with actions")
    axes.set_xlabel("return")
    axes.set_ylabel("trajectories")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
