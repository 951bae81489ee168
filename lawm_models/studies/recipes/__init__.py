"""Recipes: where they are found, and the jobs that their steps come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lawm_schemas import ConfigError, Fault, Recipe, Step
from lawm_schemas.errors import several
from lawm_schemas.recipe import (
    SEED,
    CollectStep,
    FeaturesStep,
    FilterStep,
    MaskStep,
    MergeStep,
    RerenderStep,
    ShippedStep,
    TierStep,
)

from lawm_models.studies.recipes.check import RecipeCheck
from lawm_models.studies.recipes.job import AGENT, Job
from lawm_models.studies.recipes.packaged import RECIPES


def read_jobs(name: str) -> list[Job]:
    """The jobs of a recipe: one from a file, or one in the package by its name.

    Raises:
        ConfigError: there is none, or see ``jobs``.
    """
    return jobs(RECIPES.load(name), name)


def jobs(data: Any, recipe: str = "recipe") -> list[Job]:
    """The steps of a recipe for every seed, in order.

    Args:
        data: plain data of a ``Recipe``.
        recipe: what it is called in messages.

    Raises:
        ConfigError: it makes no sense; ``SeveralErrors`` names all mistakes of all steps at once.
    """
    whole, of_steps = _faults(data)
    mistakes = [fault.error(recipe) for fault in whole]
    entries = data.get("steps") if isinstance(data, dict) else None
    entries = entries if isinstance(entries, list) else []
    wrong = any(fault.key[:1] == ("seeds",) for fault in whole)
    seeds = (0,) if wrong or not entries else tuple(map(int, data.get("seeds", (0,))))
    check = RecipeCheck(name for n in of_steps for name in _promised(entries[n], seeds))
    for n, entry in enumerate(entries):
        name = entry.get("make") if isinstance(entry, dict) else None
        where = f"{recipe}, step {n + 1}" + (f" ({name})" if name else "")
        if n in of_steps:
            mistakes += [f._replace(key=f.key[2:]).error(where) for f in of_steps[n]]
            continue
        try:
            step = Step.model_validate(entry)
            its_seeds = step.seeds or seeds
            for seed in its_seeds if SEED in step.make else (None,):
                mistakes += check.add(_job(step, seed, its_seeds, where), where)
        except ConfigError as error:
            mistakes.append(error)
            check.promise(_promised(entry, seeds))
    if mistakes:
        raise several(mistakes)
    return check.jobs


def _faults(data: Any) -> tuple[list[Fault], dict[int, list[Fault]]]:
    """What the schema does not take: of the recipe as a whole, and of each step by its place."""
    whole, of_steps = [], {}
    for fault in Recipe.faults(data):
        if fault.key[:1] == ("steps",) and len(fault.key) > 1:
            of_steps.setdefault(int(fault.key[1]), []).append(fault)
        else:
            whole.append(fault)
    # steps that cannot be read do not count for pydantic, so it may miss some
    return [f for f in whole if f.key != ("steps",) or not of_steps], of_steps


def _promised(entry: Any, seeds: Sequence[int]) -> list[str]:
    """What a step with mistakes would make: those that use it are not to blame."""
    name = str(entry.get("make")) if isinstance(entry, dict) else ""
    own = entry.get("seeds") if isinstance(entry, dict) else None
    spread = own if isinstance(own, list) else seeds
    return [name.replace(SEED, str(seed)) for seed in spread]


def _job(step: Step, seed: int | None, seeds: Sequence[int], where: str) -> Job:
    def fill(text: str) -> str:
        filled = text if seed is None else text.replace(SEED, str(seed))
        if "{" in filled or "}" in filled:
            hint = "write {seed}, and have it in the name of the step too"
            raise ConfigError(f"cannot fill in {text!r}", where, hint)
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
            # several seeds can be collected at once as NAME-SEED
            shared = step.make.removesuffix(f"-{SEED}")
            if seed is not None and shared != step.make and SEED not in shared + settings.agent:
                together = shared
            own = settings.seed if seed is None else seed
            if seed is not None and "seed" in settings.model_fields_set:
                hint = "leave it out, or take {seed} out of the name"
                raise ConfigError("collect.seed: the name of the step has {seed}", where, hint)
            settings = settings.model_copy(update={"agent": fill(settings.agent), "seed": own})
            corpus, mark, _ = settings.agent.partition(AGENT)
            inputs = (corpus,) if mark else ()  # the corpus whose collecting agent acts
        case TierStep() | MergeStep():
            inputs = fill_all(settings.corpora)
            settings = settings.model_copy(update={"corpora": inputs})
        case ShippedStep():
            inputs = ()
        case FilterStep() | RerenderStep():
            inputs = (fill(settings.corpus),)
            settings = settings.model_copy(update={"corpus": inputs[0]})
        case MaskStep() | FeaturesStep():
            inputs = (name.partition("@")[0],)
        case _:
            raise AssertionError(step.operation)
    return Job(name, step.operation, settings, inputs, together)
