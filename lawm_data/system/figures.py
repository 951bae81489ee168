"""Figures of matplotlib: colors, sizes, PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 4000
"""Most points drawn; more hide each other."""
BLUE, ORANGE, GREY = "#2b6cb0", "#dd6b20", "#718096"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, at 150 dots each."""
    # Figure without pyplot: no global state, no display, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
