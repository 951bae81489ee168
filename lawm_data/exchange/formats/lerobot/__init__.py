"""LeRobot data sets, layout v3.0: Parquet frames, PNG or mp4 pictures, and a sidecar of ours.

``lerobot:FOLDER`` is read and written with pyarrow; LeRobot itself is not needed. A frame is
``(o_t, a_t)``, so the layout has no last observation, no missing action and no more than one
recording rate; what it cannot say is in ``meta/lawm`` and in columns named ``lawm.…``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lawm_schemas import ConfigError, LabelState

from lawm_data.corpus.rate import source_rates, step_rates
from lawm_data.exchange.formats import _settings
from lawm_data.exchange.formats._protocol import About, Incoming, Outgoing
from lawm_data.exchange.formats.lerobot.features import films
from lawm_data.exchange.formats.lerobot.parquet import pyarrow
from lawm_data.exchange.formats.lerobot.writer import SetWriter
from lawm_data.system.atomic import storage_errors
from lawm_data.system.images import is_picture
from lawm_data.system.video import ffmpeg

ABOUT = About(
    title="LeRobot v3.0, Parquet with PNG or mp4; v2.0 and v2.1 are read, too",
    place="FOLDER",
    extra="lerobot",
    reads=True,
    writes=True,
    label_states=tuple(LabelState),
    partial=True,
    arrays="all",
    alignment="a_t leaves o_t",
    final_observation=True,
    ends="both",
    pixels="lossless",
    metadata=True,
    streaming=True,
    latents=True,
    settings={
        "pixels": "export: png (lossless), or mp4, which is smaller and changes the pictures",
        "fps": "export: frames per second; else the environment or the source tells, or it is 30",
        "without": "import: FEATURE,… that are left out, such as a camera that cannot be read",
        "size": "import of other people's sets: edge of the pictures, shrunk to a square; 0 keeps",
        "action": "import of other people's sets: FEATURE,… that are the action, side by side",
        "actions": "import of sets without actions: how many numbers an action would have (1)",
        "observation": "import: FEATURE,… that are observed, though their names do not say so",
        "tolerance": "import: seconds that a timestamp may lie from its picture (0.0001)",
        **_settings.DECLARED,
    },
)
_EXPORT = ("pixels", "fps")
"""Settings of exports; the others are those of imports."""
FPS = 30
"""Frames per second of a set when neither its environment nor its sources tell."""


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open a set; see ``FormatModule.read``."""
    from lawm_data.exchange.formats.lerobot.reader import open_set

    _settings.require_none(settings, _EXPORT, "exports")
    return open_set(Path(place), settings)


def locate(place: str) -> Path:
    """The folder of the set."""
    pyarrow()
    return Path(place)


def write(outgoing: Outgoing, path: Path, place: str, settings: Mapping[str, Any]) -> Sequence[str]:
    """Write a set; see ``FormatModule.write``."""
    _settings.require_none(settings, set(settings) - {*_EXPORT}, "imports")
    videos = _settings.choice(settings, "pixels", ("png", "mp4")) == "mp4"
    if videos:
        ffmpeg()
    fps, notes = _fps(outgoing, settings)
    if videos and round(fps, 2) != fps:
        hint = "take --set pixels=png, or give --set fps=…"
        raise ConfigError(f"an mp4 cannot have {fps:g} frames a second", "fps", hint)
    with storage_errors(place):
        writer = SetWriter(outgoing, path, fps, videos)
        try:
            for episode in outgoing:
                writer.add(episode)
            writer.close()
        finally:
            writer.abandon()
    notes += writer.notes
    view = outgoing.view
    if (view.table.num_observed < view.table.length).any():
        filler = "zero" if view.overlay is None else "inferred, or zero"
        notes.append(
            f"LeRobot needs an action in every frame: unobserved ones are {filler}; "
            "lawm.action_observed and lawm.action_state tell them from recorded ones"
        )
    if videos:
        pictures = [spec for spec in view.manifest.observations if spec.role == "pixels"]
        lossy = ", ".join(spec.name for spec in pictures if films(spec))
        notes += [f"mp4 is lossy: {lossy} will not come back to the bit"] if lossy else []
        png = [s.name for s in pictures if is_picture(s.shape, s.dtype) and not films(s)]
        why = "mp4 needs 3 channels of 8 bits and even edges"
        notes += [f"{why}: {', '.join(png)} is kept as PNG"] if png else []
    return notes


def _fps(outgoing: Outgoing, settings: Mapping[str, Any]) -> tuple[float, list[str]]:
    """Frames per second, and a note when they are a guess."""
    view = outgoing.view
    sources = view.manifest, set(view.table.provenance.tolist())
    rates = () if "fps" in settings else step_rates(*sources)
    if len(rates) > 1:
        what = f"{' and '.join(f'{rate:g}' for rate in rates)} frames a second"
        hint = "give --set fps=…, or filter each source out and export it by itself"
        raise ConfigError(f"the sources have {what}, and a LeRobot set has one rate", "fps", hint)
    if rates:
        fps, told = rates[0], None not in source_rates(*sources)
        if abs(fps - round(fps)) < 1e-6 * fps:
            fps = round(fps)  # LeRobot's own sets have whole numbers here
        silent = f"some sources do not tell how long a step lasts: timestamps count {fps:g} frames"
        return fps, [] if told else [f"{silent} a second, as the others have"]
    fps = _settings.rate(settings, "fps", FPS)
    unknown = "neither the environment nor the sources tell how long a step lasts"
    return fps, [] if "fps" in settings else [f"{unknown}: timestamps count {FPS} frames a second"]
