"""Judging the runs of a study by the probe, where no return tells them apart.

The runs of one corpus, label budget and seed are judged together, so that their anchors are trained
once, and from the labels that the runs could see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lawm_schemas import AnchorResult, LawmError, Mask, Study

from lawm_models.studies.cell import Cell


class Panel(NamedTuple):
    """Runs that are judged together, for a worker."""

    key: tuple[str, float | str, int]
    """Corpus, label budget and seed."""
    runs: tuple[str, ...]
    """Their folders."""
    whole: str
    """Folder of a corpus with their trajectories, and others."""
    mask: Mask | None
    """That of the runs, as one of that corpus."""
    study: Study


class Judgement(NamedTuple):
    """What was found of a panel."""

    panel: Panel
    figures: dict[str, dict[str, float]]
    """Of each run, by its folder."""
    anchors: tuple[AnchorResult, ...]
    error: str | None = None
    """Why there is nothing, in one line."""


def panels(study: Study, cells: Sequence[Cell], folders: Sequence[Path]) -> list[Panel]:
    """Runs by what they are judged with.

    Args:
        study: one with a probe.
        cells: those whose runs are done.
        folders: their runs.
    """
    found: dict[tuple[str, float | str, int], dict[str, Cell]] = {}
    for cell, folder in zip(cells, folders, strict=True):
        found.setdefault((cell.corpus, cell.labels, cell.seed), {})[str(folder)] = cell
    return [
        Panel(key, tuple(runs), str(study.corpora[key[0]].whole), _mask(study, runs), study)
        for key, runs in found.items()
    ]


def _mask(study: Study, runs: dict[str, Cell]) -> Mask | None:
    """The mask of runs, as one of the corpus that they are judged on: the same labels."""
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.corpus.mask import find_mask

    cell = next(iter(runs.values()))
    name, entry = cell.config.corpora[0].mask, study.corpora[cell.corpus]
    if name is None:
        return None
    whole = open_corpus(str(entry.whole))
    bound = {"corpus": whole.root_fingerprint, "chosen_from": None}
    return find_mask(Path(entry.path), name).model_copy(update=bound)


def judge(
    work: Sequence[Panel],
    workers: int | None,
    backend: str,
    pace: Callable[[], None],
) -> Iterator[Judgement]:
    """Probe every panel, on workers; one that fails does not stop the others.

    Args:
        work: the panels.
        workers: how many at once; none takes one per core.
        backend: where they work.
        pace: called about every second.

    Raises:
        ConfigError: no such backend.
    """
    from lawm_data.system.workers import executor

    def lost(panel: Panel, died: str) -> Judgement:
        return Judgement(panel, {}, (), f"three workers died at it ({died}); give them more memory")

    yield from executor(backend)(_prepare, work, workers, pace, lost)


def _prepare() -> Callable[[Panel], Judgement]:
    """Make a worker ready."""
    return judge_panel


def judge_panel(panel: Panel) -> Judgement:
    """Probe the runs of a panel."""
    from lawm_models.probes.probe import probe
    from lawm_models.probes.result import Settings
    from lawm_models.training.seeding import thread_limit

    asked, (corpus, labels, seed) = panel.study.probe, panel.key
    assert asked is not None
    try:
        with thread_limit(1):
            found = probe(
                panel.runs,
                panel.whole,
                panel.mask,
                simulate=asked.simulate,
                settings=Settings(asked.steps, asked.pairs, seed, asked.goals),
            )
    except LawmError as error:
        return Judgement(panel, {}, (), str(error))
    figures, anchors = {}, []
    for line in found.lines:
        values = {name: each[0] for name, each in line.values.items()}
        if line.kind == "run":
            figures[line.runs[0]] = values
        else:
            anchor = AnchorResult(
                corpus=corpus, labels=labels, seed=seed, kind=line.kind, figures=values
            )
            anchors.append(anchor)
    return Judgement(panel, figures, tuple(anchors))
