"""Actors on a Ray cluster: many machines, or this one.

Connects to the cluster that ``RAY_ADDRESS`` names or that runs here, and else starts one on this
machine. Every machine needs this package and the same file system under the folders of the work.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import islice
from typing import Any

from lawm_schemas import ConfigError
from lawm_schemas.errors import reason_of

from lawm_data.system.workers._protocol import (
    ATTEMPTS,
    BEAT,
    NONE,
    Executor,
    Lost,
    Prepare,
    given_up,
)

ANSWER = 10
"""Seconds in which a cluster has to take a connection."""


def executor() -> Executor:
    """See ``lawm_data.system.workers.executor``."""
    _ray()
    return run


def run(
    prepare: Prepare,
    items: Iterable[Any],
    workers: int | None = None,
    heartbeat: Callable[[], None] | None = None,
    lost: Lost | None = None,
) -> Iterator[Any]:
    """See ``Executor``."""
    ray = _ray()
    ours = not ray.is_initialized()
    if ours:
        _require_answer(os.environ.get("RAY_ADDRESS", ""))
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError) as error:
            what, hint = reason_of(error), "start the cluster, or unset RAY_ADDRESS"
            raise ConfigError(f"no Ray cluster: {what}", "--backend ray", hint) from None
    make = ray.remote(num_cpus=1)(_Worker).remote
    waiting, crew = iter(items), {}
    try:
        for item in islice(waiting, workers or int(ray.cluster_resources()["CPU"])):
            actor = make(prepare)
            crew[actor.perform.remote(item)] = (actor, item, 1)
        while crew:
            ready, _ = ray.wait(list(crew), timeout=BEAT)
            if heartbeat is not None:
                heartbeat()
            for reference in ready:
                actor, item, attempts = crew.pop(reference)
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayActorError as error:
                    actor = make(prepare)
                    if attempts < ATTEMPTS:
                        crew[actor.perform.remote(item)] = (actor, item, attempts + 1)
                        continue
                    result = given_up(item, type(error).__name__, lost)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                item = next(waiting, NONE)
                if item is NONE:
                    ray.kill(actor)
                else:
                    crew[actor.perform.remote(item)] = (actor, item, 1)
                yield result
    finally:
        for actor, *_ in crew.values():
            ray.kill(actor)
        if ours:
            ray.shutdown()


def _require_answer(address: str) -> None:
    """Refuse an address at which nothing listens; Ray itself would wait there for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not port.isdigit():
        return  # "auto" or "local"
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER).close()
    except (OSError, OverflowError) as error:
        what, hint = reason_of(error), "start the cluster, or unset RAY_ADDRESS"
        raise ConfigError(
            f"no Ray cluster answers: {what}", f"RAY_ADDRESS {address}", hint
        ) from None


class _Worker:
    """One actor."""

    def __init__(self, prepare: Prepare) -> None:
        self._prepare = prepare
        self._perform: Callable[[Any], Any] | None = None

    def perform(self, item: Any) -> Any:
        """Do one item."""
        # Not in the constructor: Ray does not hand on what that raises.
        self._perform = self._perform or self._prepare()
        return self._perform(item)


def _ray() -> Any:
    try:
        return import_module("ray")
    except ModuleNotFoundError:
        raise ConfigError(
            "Ray is not installed", "--backend ray", "install it: pip install 'lawm[ray]'"
        ) from None
