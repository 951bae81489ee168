"""``lawm-data render``: a recorded trajectory as a video."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer
from lawm_schemas import ConfigError

from lawm_cli.options import Corpus, Json, example
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

SMALLEST = 16
"""Pixels; encoders refuse smaller pictures."""

EPILOG = example(
    "lawm-data render corpora/cs --trajectory 0 runs/first.mp4",
    "lawm-data render corpora/cs --trajectory 0 runs/first.gif \\",
    "    --size 160x120 --every 2",
)


def choose_renderer() -> None:
    """Draw without a display where there is none, unless MUJOCO_GL says how."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("MUJOCO_GL", "egl")


def render(
    corpus: Corpus,
    out: Annotated[Path, typer.Argument(help="Video to write: .mp4 or .gif.", show_default=False)],
    trajectory: Annotated[str, typer.Option(help="Id of the trajectory, or its place from 0 on.")],
    size: Annotated[str, typer.Option(metavar="WxH", help="Width and height.")] = "320x240",
    camera: Annotated[
        str | None, typer.Option(help="Camera of the model, by name or number.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Draw every n-th step.")] = 1,
    json: Json = False,
) -> None:
    """Draw a trajectory from its recorded physics states.

    Works for every trajectory, with actions or without. Plays in real time.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.inspection.render import frame_rate, frames, place_of
    from lawm_data.system.video import require_video, write_video

    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", size)
    if not found:
        raise ConfigError(f"{size!r} is not a size", "--size", "give it like 320x240")
    width, height = int(found[1]), int(found[2])
    if width % 2 or height % 2 or min(width, height) < SMALLEST:
        mend = f"give even numbers from {SMALLEST} on, like 320x240"
        raise ConfigError(f"{size!r} cannot be the size of a video", "--size", mend)
    require_video(out)
    choose_renderer()
    view = open_corpus(corpus)
    shown = view.table.info(place_of(view, trajectory))
    if every > shown.length:
        what, mend = "draws nothing but the first step", f"give {shown.length} at most"
        raise ConfigError(what, f"--every {every}", mend)
    lens = int(camera) if camera is not None and camera.lstrip("-").isdecimal() else camera
    pictures = list(frames(view, shown.id, (width, height), slice(None, None, every), lens))
    rate = frame_rate(view, every)
    write_video(out, pictures, rate)
    result = {
        "path": corpus,
        "trajectory": shown.id,
        "return": shown.episode_return,
        "video": out,
        "frames": len(pictures),
        "seconds": len(pictures) / rate,
        "size": [pictures[0].shape[1], pictures[0].shape[0]],
    }
    print_json(result) if json else show.facts(result, title=str(corpus))
