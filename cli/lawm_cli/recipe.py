"""Recipes: where they are found, and the jobs that their steps come to."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

from lawm_schemas import ConfigError, Recipe, Step
from lawm_schemas.recipe import SEED, CollectStep, FilterStep, MaskStep, MergeStep, TierStep

from lawm_cli.collection import LEARNING

AGENT = ".agent"
"""What the folder of a collecting agent adds to the name of its corpus."""
Settings = CollectStep | TierStep | MergeStep | FilterStep | MaskStep


class Job(NamedTuple):
    """A step for one seed: makes one corpus, or one mask."""

    name: str
    operation: str
    settings: Settings
    """Without ``{seed}``."""
    inputs: tuple[str, ...]
    """Names of the jobs whose corpora it uses."""
    together: str | None = None
    """Jobs in which this is the same collect for several seeds at once: the name without seed."""

    def plain(self) -> dict[str, Any]:
        """The settings as plain data."""
        return self.settings.model_dump(mode="json")


def shipped() -> list[str]:
    """Names of the recipes in the package."""
    folder = files("lawm_cli") / "recipes"
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def read_recipe(word: str) -> Recipe:
    """A recipe from a file, or one in the package by its name.

    Raises:
        ConfigError: there is none, or it makes no sense.
    """
    path = Path(word)
    if path.is_file():
        return Recipe.read_yaml(path)
    if word not in shipped():
        mend = f"give a YAML file, or one of {', '.join(shipped())}"
        raise ConfigError("no such recipe", word, mend)
    with as_file(files("lawm_cli") / "recipes" / f"{word}.yaml") as path:
        return Recipe.read_yaml(path)


def jobs(recipe: Recipe) -> list[Job]:
    """The steps of a recipe for every seed, in order.

    Raises:
        ConfigError: a name is made twice, or used before it is made; names the step.
    """
    made: dict[str, Job] = {}
    for number, step in enumerate(recipe.steps, 1):
        where = f"step {number} ({step.make})"
        for job in _expand(step, step.seeds or recipe.seeds, where):
            if job.name in made:
                mend = "choose another name, or put {seed} into it"
                raise ConfigError(f"{job.name!r} is made twice", where, mend)
            for name in job.inputs:
                if name not in made or made[name].operation == "mask":
                    known = ", ".join(n for n, j in made.items() if j.operation != "mask")
                    mend = f"earlier corpora: {known or 'none'}"
                    raise ConfigError(f"{name!r} is not made by an earlier step", where, mend)
            made[job.name] = job
    return list(made.values())


def _expand(step: Step, seeds: Sequence[int], where: str) -> list[Job]:
    if SEED not in step.make:
        return [_job(step, None, seeds, where)]
    return [_job(step, seed, seeds, where) for seed in seeds]


def _job(step: Step, seed: int | None, seeds: Sequence[int], where: str) -> Job:
    def fill(text: str) -> str:
        filled = text if seed is None else text.replace(SEED, str(seed))
        if "{" in filled or "}" in filled:
            mend = "write {seed}, and have it in the name of the step too"
            raise ConfigError(f"cannot fill in {text!r}", where, mend)
        return filled

    def fill_all(names: Sequence[str]) -> tuple[str, ...]:
        if seed is not None:
            return tuple(map(fill, names))
        spread = (n.replace(SEED, str(s)) for n in names for s in (seeds if SEED in n else [0]))
        return tuple(map(fill, spread))

    name, settings = fill(step.make), step.settings
    together = None
    match settings:
        case CollectStep():
            together = _together(step, seed)
            own = settings.seed if seed is None else seed
            settings = settings.model_copy(update={"agent": fill(settings.agent), "seed": own})
            inputs = _agents(settings.agent, where)
        case TierStep() | MergeStep():
            inputs = fill_all(settings.corpora)
            settings = settings.model_copy(update={"corpora": inputs})
        case FilterStep():
            inputs = (fill(settings.corpus),)
            settings = settings.model_copy(update={"corpus": inputs[0]})
        case MaskStep():
            inputs = (name.partition("@")[0],)
        case _:
            raise AssertionError(step.operation)
    return Job(name, step.operation, settings, inputs, together)


def _together(step: Step, seed: int | None) -> str | None:
    """The name that several seeds share, when they can be collected at once as ``NAME-SEED``."""
    assert step.collect is not None
    alone = seed is None or SEED in step.collect.agent or not step.make.endswith(f"-{SEED}")
    shared = step.make.removesuffix(f"-{SEED}")
    return None if alone or SEED in shared else shared


def _agents(agent: str, where: str) -> tuple[str, ...]:
    """The corpus whose collecting agent acts, if it is one."""
    if agent == "random" or agent in LEARNING:
        return ()
    corpus, mark, _ = agent.partition(AGENT)
    if not mark:
        mend = f"give random, {', '.join(LEARNING)}, or NAME{AGENT} of an earlier step"
        raise ConfigError(f"no agent {agent!r}", where, mend)
    return (corpus,)
