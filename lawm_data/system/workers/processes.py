"""Processes on this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any

from lawm_data.system.interrupt import blocked_interrupts
from lawm_data.system.workers._protocol import (
    ATTEMPTS,
    BEAT,
    NONE,
    Executor,
    Lost,
    Perform,
    Prepare,
    given_up,
)


def executor() -> Executor:
    """See ``lawm_data.system.workers.executor``."""
    return run


def run(
    prepare: Prepare,
    items: Iterable[Any],
    workers: int | None = None,
    heartbeat: Callable[[], None] | None = None,
    lost: Lost | None = None,
) -> Iterator[Any]:
    """See ``Executor``."""
    waiting = iter(items)
    crew: dict[Connection, _Worker] = {}
    try:
        for item in islice(waiting, workers or cores()):
            _start(crew, prepare, item)
        while crew:
            ready = wait(list(crew), BEAT)
            if heartbeat is not None:
                heartbeat()
            for connection in ready:
                assert isinstance(connection, Connection)
                worker = crew.pop(connection)
                died = None
                try:
                    done, result = connection.recv()
                except (EOFError, OSError):
                    died = worker.stop()
                    if worker.attempts < ATTEMPTS:
                        _start(crew, prepare, worker.item, worker.attempts + 1)
                        continue
                    done, result = True, given_up(worker.item, died, lost)
                if not done:
                    worker.stop()
                    raise result
                item = next(waiting, NONE)
                if item is NONE:
                    worker.stop()
                elif died is not None:
                    _start(crew, prepare, item)
                else:
                    worker.give(item)
                    crew[connection] = worker
                yield result
    finally:
        for worker in crew.values():
            worker.stop()


class _Worker:
    """One process and the item it is at."""

    def __init__(self, prepare: Prepare) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(prepare, theirs), daemon=True)
        with blocked_interrupts():
            self._process.start()
        theirs.close()

    def give(self, item: Any, attempts: int = 1) -> None:
        """Start an item; one that finds the process dead is told by the connection's end."""
        self.item, self.attempts = item, attempts
        with contextlib.suppress(BrokenPipeError):
            self.connection.send(item)

    def stop(self) -> str:
        """End the process; returns how it ended."""
        self._process.kill()
        self._process.join()
        self.connection.close()
        return f"exit code {self._process.exitcode}"


def _start(crew: dict[Connection, _Worker], prepare: Prepare, item: Any, attempts: int = 1) -> None:
    worker = _Worker(prepare)
    crew[worker.connection] = worker
    worker.give(item, attempts)


def _serve(prepare: Prepare, connection: Connection) -> None:
    """The life of a worker."""
    end_with_parent()
    perform: Perform | None = None
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        try:
            perform = perform or prepare()
            answer = True, perform(item)
        except BaseException as error:
            error.add_note(traceback.format_exc())
            answer = False, error
        connection.send(answer)


def end_with_parent() -> None:
    """From now on this process ends when the one that started it is gone.

    Nobody waits for the work of an orphan, and it may hold a lock.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
