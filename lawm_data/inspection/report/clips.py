"""Short films of a few trajectories, for the page to carry."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import ConfigError, CorpusError

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.rate import step_seconds
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.inspection.render import frames as recorded_frames
from lawm_data.inspection.report.browser import choose
from lawm_data.system.output import scratch_folder
from lawm_data.system.terminal import Bars
from lawm_data.system.video import write_video

Frames = Callable[[Trajectory, np.ndarray], Iterator[np.ndarray]]
"""Pictures (height, width, 3) uint8 of a trajectory at the given rows, 0 to T."""

SIZE = (240, 180)
"""Width and height of a drawn picture."""
MOST_FRAMES = 100
LONGEST = 8.0
"""Seconds of a clip; a longer trajectory is shown faster."""


class Clips(NamedTuple):
    """The clips that could be made."""

    films: dict[int, dict[str, Any]]
    """By place in the view: ``video``, a data URL, and ``rows``, the row that each frame shows."""
    problem: str | None
    """Why there are none."""


def make_clips(
    view: Corpus, places: np.ndarray, most: int, bars: Bars, frames: Frames | None = None
) -> Clips:
    """Clips of at most so many of the trajectories, evenly spread over the returns.

    A corpus that cannot be drawn here gets none, and the reason.

    Args:
        view: the view.
        places: (n,) trajectories to choose from.
        most: clips at most.
        bars: shows the progress.
        frames: gives the pictures; by default what the corpus recorded.
    """
    if not most or not len(places):
        return Clips({}, None)
    chosen = places[choose(view.filter(np.isin(np.arange(len(view)), places)), most)]
    films: dict[int, dict[str, Any]] = {}
    try:
        frames = frames or (lambda shown, rows: recorded_frames(view, shown.info.id, SIZE, rows))
        bars.start("clips", len(chosen))
        bars.reach(0)
        for place in chosen.tolist():
            films[place] = _film(view, place, frames)
            bars.advance(1)
    except (ConfigError, CorpusError) as error:
        return Clips({}, f"{error.what}; {error.hint}")
    return Clips(films, None)


def _film(view: Corpus, place: int, frames: Frames) -> dict[str, Any]:
    trajectory = view[place]
    steps = len(trajectory)
    rows = np.unique(np.linspace(0, steps, min(steps + 1, MOST_FRAMES)).round().astype(int))
    seconds = min(steps * (step_seconds(view.manifest) or 0.05), LONGEST)
    with scratch_folder("report") as folder:
        path = folder / "clip.mp4"
        write_video(path, frames(trajectory, rows), fps=max(1.0, len(rows) / seconds))
        video = base64.b64encode(path.read_bytes()).decode("ascii")
    return {"video": f"data:video/mp4;base64,{video}", "rows": rows.tolist()}
