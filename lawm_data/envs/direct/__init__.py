"""Suite tasks stepped in MuJoCo directly: the same numbers at a fraction of the cost.

The suite makes a step 2 to 16 times as dear as its physics. Here it still starts every episode
(its randomizers, its model), but MuJoCo is stepped, observed and rewarded by our own code.
One file per domain, with its tasks in ``TASKS``; tests hold each task equal to the suite.
"""

from __future__ import annotations

from importlib import import_module

from lawm_schemas import ConfigError

from lawm_data.envs.direct.body import Body

DOMAINS = ("cartpole", "cheetah", "hopper", "walker")


def tasks() -> tuple[str, ...]:
    """Names of the tasks that can be stepped directly."""
    modules = {domain: import_module(f"{__name__}.{domain}") for domain in DOMAINS}
    return tuple(f"{domain}-{task}" for domain, m in modules.items() for task in m.TASKS)


def find(task: str, *, required: bool = False) -> type[Body] | None:
    """The body of a task, or none when only the suite can step it.

    Raises:
        ConfigError: it is required and there is none.
    """
    domain, _, name = task.partition("-")
    if domain in DOMAINS:
        known = import_module(f"{__name__}.{domain}").TASKS
        if name in known:
            return known[name]
    if required:
        raise ConfigError("cannot be stepped directly", task, f"can: {', '.join(tasks())}")
    return None
