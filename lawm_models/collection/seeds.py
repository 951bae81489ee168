"""``lawm-data collect --seeds``: one corpus for each seed, several of them at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lawm_schemas import ConfigError

from lawm_data.system import terminal as show
from lawm_data.system.progress import NoBar
from lawm_models.collection.agents import AGENTS
from lawm_models.collection.session import Collection, collect, collected


def parse(text: str) -> tuple[int, ...]:
    """Seeds as they are written: ``0,1,2``.

    Raises:
        ConfigError: not whole numbers of 0 or more, or one of them twice.
    """
    parts = text.split(",")
    seeds = tuple(int(part) for part in parts if part.strip().isdecimal())
    if len(set(seeds)) != len(parts):
        what = f"{text!r} is not a list of different seeds"
        raise ConfigError(what, "--seeds", "give whole numbers with commas between, e.g. 0,1,2")
    return seeds


def collect_seeds(collection: Collection, seeds: tuple[int, ...]) -> list[Collection]:
    """Collect ``OUT-SEED`` for every seed, each in a worker of its own; returns what was collected.

    Each corpus is what the seed alone would have made, with whatever number of workers.

    Raises:
        ConfigError: as for one corpus; the others go on with the same command.
    """
    from lawm_data.system.workers import executor

    execute = executor(collection.backend)
    out = collection.out.absolute()
    alone = collection._replace(workers=None, backend="processes")
    each = [alone._replace(seed=seed, out=out.with_name(f"{out.name}-{seed}")) for seed in seeds]

    def there() -> int:
        return sum(collected(one.out) for one in each)

    with show.Bars() as bars:
        added = there() if collection.append else 0
        bars.start(collection.agent, added + collection.trajectories * len(each))

        def report() -> None:
            done = there()
            if done:  # before, something may still be wrong with what was asked for
                bars.reach(done)

        report()
        for _ in execute(_prepare, each, collection.workers, report):
            report()
    return [one._replace(out=collection.out.with_name(one.out.name)) for one in each]


def table(results: list[dict[str, Any]]) -> None:
    """The corpora for people, one a line."""
    columns = ("corpus", "seed", "trajectories", "mean return", "best", "fingerprint")
    rows = [
        (
            result["path"],
            result["seed"],
            result["trajectories"],
            result["returns"]["mean"],
            result["returns"]["max"],
            result["fingerprint"],
        )
        for result in results
    ]
    show.grid(columns, rows)


def _prepare() -> Callable[[Collection], None]:
    """Make a worker ready."""
    return _collect_one


def _collect_one(collection: Collection) -> None:
    workers = None if collection.agent in AGENTS else 1
    collect(collection._replace(workers=workers), NoBar(), processes=1)
