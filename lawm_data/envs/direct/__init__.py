"""Suite tasks stepped in MuJoCo directly: the same numbers at a fraction of the cost.

The suite makes a step 2 to 16 times as dear as its physics. Here it still starts every episode
(its randomizers, its model), but MuJoCo is stepped, observed and rewarded by our own code.
One file per domain, with its tasks in ``TASKS``; tests hold each task equal to the suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from lawm_schemas import ConfigError

from lawm_data.envs.direct._body import Body
from lawm_data.system.registry import modules_in


def tasks() -> tuple[str, ...]:
    """Names of the tasks that can be stepped directly."""
    return tuple(f"{domain}-{task}" for domain in modules_in(__name__) for task in _tasks(domain))


def find(task: str, *, required: bool = False) -> type[Body] | None:
    """The body of a task, or none when only the suite can step it.

    Raises:
        ConfigError: it is required and there is none.
    """
    domain, _, name = task.partition("-")
    body = _tasks(domain).get(name) if domain in modules_in(__name__) else None
    if body is None and required:
        raise ConfigError("cannot be stepped directly", task, f"can: {', '.join(tasks())}")
    return body


def _tasks(domain: str) -> Mapping[str, type[Body]]:
    return import_module(f"{__name__}.{domain}").TASKS
