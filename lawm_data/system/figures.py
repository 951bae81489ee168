"""Figures of matplotlib, and their files. Imports matplotlib, so import it where you draw."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from lawm_schemas import ConfigError
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lawm_data.system.atomic import write_file

POINTS = 4000
"""Most points drawn; more hide each other."""
KINDS = (".png", ".pdf", ".svg")
"""Endings of files that a figure can be written to."""
# Without a date, and with names that are counted from one seed, equal figures are equal files.
_UNDATED = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


class Picture(Figure):
    """A figure that belongs to nobody: no global state, no display, nothing to close."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """As ``Figure.savefig``, but a PDF has the outlines of its letters, as journals ask."""
        with rc_context({"pdf.fonttype": 42, "svg.hashsalt": "lawm"}):
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return image(self)


def new_figure(width: float, height: float) -> Picture:
    """An empty figure of so many inches, at 150 dots each."""
    figure = Picture(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def image(figure: Figure, kind: str = ".png") -> bytes:
    """A figure as a file of one of ``KINDS``."""
    file = io.BytesIO()
    figure.savefig(file, format=kind[1:], metadata=_UNDATED[kind])
    return file.getvalue()


def require_kind(path: Path, option: str) -> None:
    """Refuse a file that no figure can be written to.

    Raises:
        ConfigError: it does not end in one of ``KINDS``.
    """
    if path.suffix not in KINDS:
        raise ConfigError(f"{path.name!r} is no picture", option, f"end it in {', '.join(KINDS)}")


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure to a file whose ending says how; it appears whole or not at all."""
    write_file(path, image(figure, path.suffix))
