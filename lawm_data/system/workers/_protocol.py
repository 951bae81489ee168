"""What every backend offers: items of work, done by workers that may die."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from lawm_schemas import ConfigError

Perform = Callable[[Any], Any]
"""Does one item and returns its result."""
Prepare = Callable[[], Perform]
"""Called once in every worker, before its first item. Travels to it, like the items: plain data."""
Lost = Callable[[Any, str], Any]
"""Makes the result of an item that nobody survived, from the item and how its last worker ended."""

ATTEMPTS = 3
"""Workers that may die at one item before it is given up."""
BEAT = 1.0
"""Seconds between heartbeats."""
NONE = object()
"""Stands for an item where there is no more work."""


class Executor(Protocol):
    """Runs work on one kind of workers."""

    def __call__(
        self,
        prepare: Prepare,
        items: Iterable[Any],
        workers: int | None = None,
        heartbeat: Callable[[], None] | None = None,
        lost: Lost | None = None,
    ) -> Iterator[Any]:
        """Do every item once, each on whichever worker is free.

        A worker that dies is replaced, and the item that it was at is done again from its start;
        the others do not notice. When the iterator ends or is closed, the workers are gone.

        Args:
            prepare: makes a worker ready.
            items: the work, drawn only as workers become free.
            workers: how many; none takes one per core that there is.
            heartbeat: called about every second.
            lost: what stands for the result of an item that has cost three workers; with none the
                work stops there.

        Yields:
            Results, in the order in which they are ready.

        Raises:
            ConfigError: an item has cost three workers, and nothing stands for its result.
            Exception: whatever an item raised; the work on the others is stopped.
        """
        ...


class BackendModule(Protocol):
    """A module of this folder, named after the backend, or one that another package brings."""

    def executor(self) -> Executor:
        """What runs work.

        Raises:
            ConfigError: a package is missing, or there is nothing to work on.
        """
        ...


def given_up(item: Any, died: str, lost: Lost | None) -> Any:
    """The result of an item that kills whoever works on it.

    Raises:
        ConfigError: nothing stands for it.
    """
    if lost is not None:
        return lost(item, died)
    what = f"{ATTEMPTS} workers died at the same piece of work ({died})"
    raise ConfigError(what, "--workers", "give them more memory, or take fewer")
