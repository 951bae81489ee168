"""Running cells on workers; one that fails does not stop the others."""

from __future__ import annotations

import json
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lawm_schemas import CorpusRecord, ExperimentConfig, LawmError

from lawm_data.system.terminal import line
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


Stack = Sequence[Work]
"""Runs that one worker makes at once, see ``training.stacked_runs``."""


class Outcome(NamedTuple):
    """The result of a run."""

    key: str
    error: str | None
    """In one line; none when it is done."""
    traceback: str | None = None
    """Of a defect."""
    cpu_seconds: float = 0.0
    """CPU time of this attempt; runs of a stack have equal shares."""


def run(
    work: Sequence[Stack],
    workers: int | None,
    backend: str,
    pace: Callable[[Sequence[Sequence[str]]], None],
) -> Iterator[Outcome]:
    """Train every run; each is a ``lawm train`` that goes on where it was stopped.

    Args:
        work: what is to be done, in this order but for runs that wait for what others are making.
        workers: how many at once; none takes one per core.
        backend: where they work.
        pace: called about every second with the keys that each busy worker is at.

    Yields:
        Outcomes, as they come.

    Raises:
        ConfigError: no such backend.
    """
    from lawm_data.system.workers import executor
    from lawm_models.training.stage_reuse import is_ready

    busy: dict[str, Stack] = {}  # by the first key

    def waits(item: Work) -> bool:
        """Whether what a run could take over is just being made."""
        made = {each.folder for stack in busy.values() for each in stack}
        ready = any(is_ready(Path(other)) for other in item.others)
        return not ready and any(other in made for other in item.others)

    def lost(stack: Stack, died: str) -> list[Outcome]:
        what = f"three workers died at it ({died}); give them more memory"
        return [Outcome(item.key, what) for item in stack]

    def next_ones() -> Iterator[Stack]:
        waiting = list(work)
        while waiting:
            stack = next((s for s in waiting if not any(map(waits, s))), waiting[0])
            waiting.remove(stack)
            busy[stack[0].key] = stack
            yield stack

    def beat() -> None:
        pace([[item.key for item in stack] for stack in busy.values()])

    for outcomes in executor(backend)(_prepare, next_ones(), workers, beat, lost):
        del busy[outcomes[0].key]
        yield from outcomes


def _prepare() -> Callable[[Stack], list[Outcome]]:
    """Make a worker ready."""
    return _train_stack


def _train_stack(stack: Stack) -> list[Outcome]:
    """Train runs at once, or where that fails one after the other: one must not stop the others."""
    began = time.process_time()
    if len(stack) > 1:
        from lawm_models.training.stacked_runs import Asked, train_stack

        try:
            configs = [ExperimentConfig.model_validate(work.config) for work in stack]
            train_stack(
                [
                    Asked(config, Path(work.folder), _beginning(work, config))
                    for work, config in zip(stack, configs, strict=True)
                ]
            )
        except LawmError:  # each says by itself below what is the matter
            pass
        except Exception as error:
            first, *others = (work.folder for work in stack)
            runs = f"{first} and {len(others)} more"
            what = f"not trained at once: {type(error).__name__}: {error}"
            line(f"warning: {runs}: {what}; each is trained by itself, which takes longer")
    outcomes = [_train(work) for work in stack]
    share = (time.process_time() - began) / len(stack)
    return [outcome._replace(cpu_seconds=share) for outcome in outcomes]


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


def stacks(work: Sequence[Work], most: int) -> list[Stack]:
    """Runs that one worker can make at once; the order is that of their first ones.

    Args:
        work: runs in their order.
        most: in one stack.
    """
    from lawm_models.training.stacked_runs import alike

    kinds: dict[str, list[Work]] = defaultdict(list)
    for item in work:
        config = ExperimentConfig.model_validate(item.config)
        same = alike(config, [CorpusRecord.model_validate(item.data)])
        # those that can begin with the stages of another run may not wait for those that cannot
        kind = item.key if same is None else f"{same} {bool(item.others)}"
        kinds[kind].append(item)
    found = [items[i : i + most] for items in kinds.values() for i in range(0, len(items), most)]
    place = {item.key: i for i, item in enumerate(work)}
    return sorted(found, key=lambda stack: place[stack[0].key])


def _shared_beginning(cell: Cell) -> str:
    """What decides all stages but the last; of a run with one stage, what decides all of it."""
    from lawm_models.training.stage_reuse import until_last_stage

    beginning = until_last_stage(cell.config, [cell.data])
    return json.dumps(beginning, sort_keys=True) if beginning else cell.key
