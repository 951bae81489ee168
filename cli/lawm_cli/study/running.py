"""Running cells on workers; one that fails does not stop the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lawm_schemas import ExperimentConfig, LawmError


class Work(NamedTuple):
    """A run, for a worker."""

    key: str
    """Key of the cell."""
    config: dict[str, Any]
    """Plain data of its configuration."""
    folder: str
    """Its run folder."""
    others: tuple[str, ...] = ()
    """Run folders of cells that are the same until their last stage."""


class Outcome(NamedTuple):
    """What became of it."""

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
        work: what is to be done, in order.
        workers: how many at once; none takes one per core.
        backend: where they work.
        pace: told about every second which keys are being worked on.

    Yields:
        Outcomes, as they come.

    Raises:
        ConfigError: no such backend.
    """
    from lawm_data.workers import executor

    busy: set[str] = set()

    def items() -> Iterator[Work]:
        for item in work:
            busy.add(item.key)
            yield item

    for outcome in executor(backend)(_prepare, items(), workers, lambda: pace(busy), _lost):
        busy.discard(outcome.key)
        yield outcome


def _prepare() -> Callable[[Work], Outcome]:
    """Make a worker ready."""
    return _train


def _train(work: Work) -> Outcome:
    from lawm_models import stage_reuse
    from lawm_models.trainer import train

    begin_from = next((other for other in work.others if stage_reuse.is_ready(Path(other))), None)
    try:
        train(ExperimentConfig.model_validate(work.config), work.folder, begin_from=begin_from)
    except LawmError as error:
        return Outcome(work.key, str(error))
    except Exception as error:
        return Outcome(work.key, f"{type(error).__name__}: {error}", traceback.format_exc())
    return Outcome(work.key, None)


def _lost(work: Work, died: str) -> Outcome:
    return Outcome(work.key, f"three workers died at it ({died}); give them more memory")
