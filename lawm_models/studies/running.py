"""Running cells on workers; one that fails does not stop the others."""

from __future__ import annotations

import json
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lawm_schemas import CorpusRecord, ExperimentConfig, LawmError

from lawm_models.studies.cell import Cell, CellRun


class Work(NamedTuple):
    """A run, for a worker."""

    key: str
    """Key of the cell."""
    config: dict[str, Any]
    """Plain data of its configuration."""
    folder: str
    """Its run folder."""
    data: dict[str, Any]
    """Plain data of what it sees of its corpus."""
    others: tuple[str, ...] = ()
    """Folders of runs that are the same until their last stage."""


class Outcome(NamedTuple):
    """The result of a run."""

    key: str
    error: str | None
    """In one line; none when it is done."""
    traceback: str | None = None
    """Of a defect."""


def run(
    work: Sequence[Work], workers: int | None, backend: str, pace: Callable[[set[str]], None]
) -> Iterator[Outcome]:
    """Train every run; each is a ``lawm train`` that goes on where it was stopped.

    Args:
        work: what is to be done, in this order but for runs that wait for what others are making.
        workers: how many at once; none takes one per core.
        backend: where they work.
        pace: called about every second with the keys that are being worked on.

    Yields:
        Outcomes, as they come.

    Raises:
        ConfigError: no such backend.
    """
    from lawm_data.system.workers import executor
    from lawm_models.training.stage_reuse import is_ready

    busy: dict[str, str] = {}  # folders by key

    def waits(item: Work) -> bool:
        """Whether what a run could take over is just being made."""
        ready = any(is_ready(Path(other)) for other in item.others)
        return not ready and any(other in busy.values() for other in item.others)

    def lost(item: Work, died: str) -> Outcome:
        return Outcome(item.key, f"three workers died at it ({died}); give them more memory")

    def items() -> Iterator[Work]:
        waiting = list(work)
        while waiting:
            item = next((item for item in waiting if not waits(item)), waiting[0])
            waiting.remove(item)
            busy[item.key] = item.folder
            yield item

    for outcome in executor(backend)(_prepare, items(), workers, lambda: pace(set(busy)), lost):
        del busy[outcome.key]
        yield outcome


def _prepare() -> Callable[[Work], Outcome]:
    """Make a worker ready."""
    return _train


def _train(work: Work) -> Outcome:
    from lawm_models.training.trainer import train

    try:
        config = ExperimentConfig.model_validate(work.config)
        train(config, work.folder, begin_from=_beginning(work, config))
    except LawmError as error:
        return Outcome(work.key, str(error))
    except Exception as error:
        return Outcome(work.key, f"{type(error).__name__}: {error}", traceback.format_exc())
    return Outcome(work.key, None)


def _beginning(work: Work, config: ExperimentConfig) -> str | None:
    """A run to take a world model from: sound, and made with these very versions."""
    from lawm_models.training import stage_reuse
    from lawm_models.training.versions import installed_versions

    data = [CorpusRecord.model_validate(work.data)]
    for other in work.others:
        try:
            found = stage_reuse.read(other, config, data)
        except LawmError:
            continue
        if found.record.versions == installed_versions():
            return other
    return None


class Turn(NamedTuple):
    """A run, when it is its turn."""

    cell: Cell
    """One of its cells."""
    others: tuple[str, ...]
    """Folders of runs from which it can take all stages but the last, as soon as they have them."""
    shorter: bool
    """One of them has them, or makes them before."""


def turns(left: Sequence[Cell], cells: Sequence[Cell], runs: Mapping[str, CellRun]) -> list[Turn]:
    """The order of runs: seed by seed, and of each seed first those that others can take from.

    Args:
        left: one cell for each run that is not done, in the order of the study.
        cells: all cells of the study.
        runs: their runs, by key.
    """
    from lawm_models.training.stage_reuse import is_ready

    alike: dict[str, dict[str, None]] = defaultdict(dict)  # keys by what they begin with, in order
    for cell in cells:
        alike[_shared_beginning(cell)][cell.key] = None
    seeds = list(dict.fromkeys(cell.seed for cell in left))
    begun: set[str] = set()
    order: list[tuple[int, bool, Turn]] = []
    for cell in left:
        beginning = _shared_beginning(cell)
        keys = [key for key in alike[beginning] if key != cell.key]
        later = beginning in begun
        shorter = later or any(runs[k].saved and is_ready(runs[k].folder) for k in keys)
        turn = Turn(cell, tuple(str(runs[key].folder) for key in keys), shorter)
        order.append((seeds.index(cell.seed), later, turn))
        begun.add(beginning)
    return [turn for *_, turn in sorted(order, key=lambda item: item[:2])]


def _shared_beginning(cell: Cell) -> str:
    """What decides all stages but the last; of a run with one stage, what decides all of it."""
    from lawm_models.training.stage_reuse import until_last_stage

    beginning = until_last_stage(cell.config, [cell.data])
    return json.dumps(beginning, sort_keys=True) if beginning else cell.key
