"""The runs in a folder, side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lawm_schemas import ConfigError, LawmError, Overlay

from lawm_data.corpus.overlay import LABELS, overlay_names, read_overlay
from lawm_data.system.atomic import storage_errors
from lawm_models.runs.run import Run
from lawm_models.training.checkpoint import model_sha256
from lawm_models.training.run_folder import CONFIG, RECORD, RunFolder


@dataclass(frozen=True)
class RunRow:
    """A run in a few numbers; of one that cannot be read, only why."""

    run: Path
    """Its folder."""
    state: str
    """``done``, ``running``, ``stopped``, or ``unreadable``."""
    error: str | None = None
    """Why it cannot be read."""
    algorithm: str | None = None
    """Name of the algorithm."""
    preset: str | None = None
    """Preset that its settings came from."""
    corpora: tuple[str, ...] = ()
    """Folders of its corpora, or their addresses on the Hub."""
    masks: tuple[str | None, ...] = ()
    """Mask of each."""
    labeled: int | None = None
    """Trajectories whose actions it could see."""
    trajectories: int | None = None
    """Trajectories that it saw."""
    seed: int | None = None
    """The one seed."""
    step: int | None = None
    """Gradient steps made, of all stages."""
    steps: int | None = None
    """Gradient steps asked for."""
    seconds: float | None = None
    """Spent training."""
    return_mean: float | None = None
    """Mean return of the evaluation at the end."""
    return_std: float | None = None
    """Its standard deviation over episodes."""
    normalized: float | None = None
    """100 × mean / largest possible return."""
    labels_r2: dict[str, float | None] = field(default_factory=dict)
    """R² of the overlays that its newest weights inferred; None where the overlay keeps none."""


def compare_runs(folder: Path | str) -> list[RunRow]:
    """The runs in a folder, and in folders within it, in the order of their names.

    Raises:
        ConfigError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError("no such folder", str(folder), "give a folder with runs in it")
    overlays = cache(_overlays)
    rows = []
    for path in _runs(folder):
        try:
            run = RunFolder.open(path)
            labels = [o for seen in run.record.corpora for o in overlays(seen.path)]
            rows.append(_row(run, labels))
        except LawmError as error:
            rows.append(RunRow(path, "unreadable", str(error)))
    return rows


def _runs(folder: Path) -> Iterator[Path]:
    with storage_errors(folder):
        for path, folders, files in os.walk(folder):
            folders.sort()
            if CONFIG in files and RECORD in files:
                folders.clear()  # nothing in a run is a run
                yield Path(path)


def _overlays(corpus: str) -> list[Overlay]:
    """Inferred actions beside a corpus; none where the corpus is gone or elsewhere."""
    found = []
    for name in overlay_names(Path(corpus)):
        with suppress(LawmError):  # a damaged one is for `lawm-data validate` to tell
            found.append(read_overlay(Path(corpus) / LABELS / name))
    return found


def _row(run: RunFolder, labels: list[Overlay]) -> RunRow:
    record, config, metrics = run.record, run.config, run.metrics()
    checkpoints, found, weights = run.checkpoints(), run.evaluation(), None
    with suppress(LawmError):  # there is none yet, or it makes way for a newer one just now
        weights = model_sha256(run.latest_checkpoint())
    logged = [config.steps_before(row["stage"]) + row["step"] for row in metrics[-1:]]
    return RunRow(
        run.path,
        Run(run).state,
        algorithm=config.algorithm.name,
        preset=config.preset,
        corpora=tuple(seen.path for seen in record.corpora),
        masks=tuple(seen.mask for seen in record.corpora),
        labeled=sum(seen.labeled for seen in record.corpora),
        trajectories=sum(seen.trajectories for seen in record.corpora),
        seed=config.seed,
        step=max([0, *checkpoints, *logged]),
        steps=run.total_steps,
        seconds=metrics[-1]["elapsed"] if metrics else 0.0,
        return_mean=found and found.return_mean,
        return_std=found and found.return_std,
        normalized=found and found.normalized,
        labels_r2={overlay.name: overlay.r2 for overlay in labels if overlay.model == weights},
    )
