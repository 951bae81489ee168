"""Inferring actions between the runs of a study: some infer what others learn from, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from lawm_schemas import LawmError

from lawm_models.studies.cell import Cell, CellRun


class Task(NamedTuple):
    """Actions to be inferred, for a worker."""

    name: str
    """What they are called."""
    run: str
    """Folder of the run that infers them."""
    corpus: str
    """Folder of the corpus."""


class Outcome(NamedTuple):
    """What came of it."""

    name: str
    error: str | None
    """In one line; none where the actions are there."""


def teachers(cells: Iterable[Cell]) -> list[Cell]:
    """The cells whose runs infer what others are told and what is not there yet, each once."""
    found = {
        cell.teacher.inferred: cell.teacher
        for cell in cells
        if cell.teacher is not None and not _is_there(cell.teacher)
    }
    return list(found.values())


def tasks(cells: Iterable[Cell], runs: Mapping[str, CellRun]) -> list[Task]:
    """What is to be inferred by runs that are done.

    Args:
        cells: ``teachers``.
        runs: their runs, by key.
    """
    return [
        Task(cell.inferred, str(runs[cell.key].folder), cell.data.path)
        for cell in cells
        if runs[cell.key].finished
    ]


def infer(work: Iterable[Task], workers: int | None, backend: str) -> Iterator[Outcome]:
    """Infer actions on workers; one that fails does not stop the others.

    Args:
        work: what is to be done.
        workers: how many at once; none takes one per core.
        backend: where they work.

    Raises:
        ConfigError: no such backend.
    """
    from lawm_data.system.workers import executor

    def lost(task: Task, died: str) -> Outcome:
        return Outcome(task.name, f"three workers died at it ({died}); give them more memory")

    yield from executor(backend)(_prepare, work, workers, None, lost)


def _prepare() -> Callable[[Task], Outcome]:
    """Make a worker ready."""
    return _infer


def _infer(task: Task) -> Outcome:
    from lawm_models.runs.relabel import relabel

    try:
        relabel(task.run, task.corpus, task.name, replace=True)
    except LawmError as error:
        return Outcome(task.name, str(error))
    return Outcome(task.name, None)


def _is_there(teacher: Cell) -> bool:
    """Whether its actions are, and are those of the mask."""
    from lawm_data.corpus.overlay import LABELS, read_overlay

    try:
        info = read_overlay(Path(teacher.data.path) / LABELS / teacher.inferred)
    except LawmError:
        return False
    return info.mask_sha256 == teacher.data.mask_sha256
