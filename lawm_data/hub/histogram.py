"""The picture of a dataset card: how the returns are distributed."""

from __future__ import annotations

import io

import numpy as np

from lawm_data.corpus import Corpus
from lawm_data.table import OBSERVED

BINS = 40
LABELED, UNLABELED = "#2b6cb0", "#cbd5e0"


def draw_returns(view: Corpus) -> bytes:
    """A histogram of the returns as a PNG file, trajectories with all their actions in colour.

    The same view gives the same bytes.
    """
    # Figure without pyplot: no global state, no display, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = view.table
    labeled = (table.labels == OBSERVED) & (table.num_observed == table.length)
    edges = np.histogram_bin_edges(table.episode_return, BINS)
    figure = Figure(figsize=(7, 2.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.hist(
        [table.episode_return[labeled], table.episode_return[~labeled]],
        edges.tolist(),
        stacked=True,
        color=[LABELED, UNLABELED],
        label=["with actions", "without"],
    )
    axes.set_xlabel("return")
    axes.set_ylabel("trajectories")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
