"""What is wrong with the jobs of a recipe, found before any of them is done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lawm_schemas import ConfigError
from lawm_schemas.recipe import (
    CollectStep,
    FeaturesStep,
    FilterStep,
    MaskStep,
    MergeStep,
    RerenderStep,
    ShippedStep,
    TierStep,
)

from lawm_models.collection.agents import AGENTS
from lawm_models.collection.session import unfit
from lawm_models.studies.recipes import step
from lawm_models.studies.recipes.job import AGENT, RUN, Job

SUFFIXES = (AGENT, RUN, ".parts", ".made.json")
"""How names end that lie beside an output: its agent, the run of an encoder, what is unfinished,
its record."""
_ACTING = re.compile(rf"[^@]+{re.escape(AGENT)}(@snapshots(:(?P<band>.*))?)?")
_ROUNDS = re.compile(r"(\d*):(\d*)")

Mistake = tuple[str, str]
"""What is wrong, and what to do about it."""


class Kind(NamedTuple):
    """What the trajectories of a corpus have in common: other ones cannot be put with them."""

    env: str
    action_repeat: int
    pixels: int | None
    physics: bool
    draw: str | None = None
    distractors: tuple[str, ...] = ()

    def __str__(self) -> str:
        drawn = "" if self.draw is None else f" drawn by {self.draw}"
        drawn += f" with {' and '.join(self.distractors)}" if self.distractors else ""
        pixels = "" if self.pixels is None else f", {self.pixels} pixels{drawn}"
        physics = "" if self.physics else ", no physics"
        return f"{self.env} with action repeat {self.action_repeat}{pixels}{physics}"


class RecipeCheck:
    """The jobs of a recipe so far, and what is wrong with the next one.

    Args:
        promised: what steps would make that cannot be read; those that use it are not to blame.
    """

    def __init__(self, promised: Iterable[str] = ()) -> None:
        self._promised = set(promised)
        self._made: dict[str, Job] = {}
        self._kinds: dict[str, Kind] = {}

    @property
    def jobs(self) -> list[Job]:
        """All that were added, in order."""
        return list(self._made.values())

    def promise(self, names: Iterable[str]) -> None:
        """Remember what a step would make whose names cannot be filled in."""
        self._promised.update(names)

    def add(self, job: Job, where: str) -> list[ConfigError]:
        """Everything that is wrong with a job, given those before it.

        Args:
            job: the next one; it counts as made from now on.
            where: its step, for messages.
        """
        mistakes = [*self._names(job), *self._settings(job)]
        self._made.setdefault(job.name, job)
        kind = self._kind(job)
        if kind is not None:
            self._kinds.setdefault(job.name, kind)
        return [ConfigError(what, where, hint) for what, hint in mistakes]

    def _names(self, job: Job) -> Iterator[Mistake]:
        """What is wrong with the name of a job, and with those of its inputs."""
        corpora = [name for name, made in self._made.items() if made.beside is None]
        if job.name in self._made:
            yield f"{job.name!r} is made twice", "choose another name, or put {seed} into it"
        else:
            for suffix in SUFFIXES:
                if any(part.endswith(suffix) for part in PurePosixPath(job.name).parts):
                    what = f"{job.name!r} cannot be told from what is kept beside an output"
                    yield what, f"choose a name that does not end in {suffix}"
            for other in corpora if job.beside is None else ():
                inner, outer = sorted((job.name, other), key=len, reverse=True)
                if inner.startswith(f"{outer}/"):
                    yield f"{inner!r} would lie inside the corpus {outer!r}", "choose another name"
        for name in job.inputs:
            if name not in corpora and name not in self._promised:
                hint = f"earlier corpora: {', '.join(corpora) or 'none'}"
                yield f"{name!r} is not made by an earlier step", hint

    def _settings(self, job: Job) -> Iterator[Mistake]:
        match job.settings:
            case CollectStep() as settings:
                from lawm_data.envs.distractors import parse
                from lawm_data.envs.suites import require_task

                unknown = list(_refusal("collect.env", lambda: require_task(settings.env)))
                yield from unknown
                for key, given in (("draw", settings.draw), ("distractors", settings.distractors)):
                    if given and settings.pixels is None:
                        yield f"collect.{key}: goes with pixels", "give both"
                yield from _refusal("collect.distractors", lambda: parse(settings.distractors))
                for key in unfit(settings.agent, settings.noise):
                    what = f"collect.{key}: does not go with agent {settings.agent}"
                    yield what, "leave it out"
                if settings.agent not in AGENTS and settings.agent != "random":
                    yield from self._acting(settings, not unknown)
            case ShippedStep(corpus=name):
                from lawm_data.curation.shipped import shipped_corpora

                known = shipped_corpora()
                if name not in known:
                    hint = f"there is {', '.join(known)}"
                    yield f"shipped.corpus: no corpus {name!r} in the package", hint
            case RerenderStep() as settings:
                from lawm_data.envs.distractors import parse

                yield from _refusal("rerender.distractors", lambda: parse(settings.distractors))
                kind = self._kinds.get(job.inputs[0])
                if kind is not None and not kind.physics:
                    what = f"rerender.corpus: {job.inputs[0]!r} has no states of the simulator"
                    yield what, "collect it with physics"
            case TierStep() as settings:
                yield from self._alike(job)
                yield from self._tier(settings)
            case MergeStep():
                yield from self._alike(job)
            case FilterStep(where=where):
                from lawm_data.curation.expression import require_expression

                yield from _refusal("filter.where", lambda: require_expression(where))
            case MaskStep() | FeaturesStep():
                from lawm_data.corpus.mask import NAME, NAME_HINT

                if not NAME.fullmatch(str(job.beside)):
                    what = "a mask" if job.operation == "mask" else "features"
                    yield f"{job.name!r} cannot be the name of {what}", NAME_HINT
                if job.operation == "features":
                    yield from _refusal("features", lambda: step.encoder_config(Path(), job))

    def _acting(self, settings: CollectStep, known: bool) -> Iterator[Mistake]:
        """The agent of an earlier step acts."""
        found = _ACTING.fullmatch(settings.agent)
        if not found:
            agents = ", ".join(["random", *AGENTS.names(), f"NAME{AGENT}"])
            hint = f"give {agents} or NAME{AGENT}@snapshots:TIER"
            yield f"collect.agent: no agent {settings.agent!r}", hint
            return
        maker = self._made.get(settings.agent.partition(AGENT)[0])
        if maker is None or not isinstance(maker.settings, CollectStep):
            if maker is not None:
                what = (
                    f"collect.agent: {maker.name!r} is made by {maker.operation}, not by an agent"
                )
                yield what, "name a step that collects with a learning agent"
            return
        if maker.settings.agent not in AGENTS:
            what = f"collect.agent: {maker.name!r} is collected by {maker.settings.agent}"
            yield f"{what}, which keeps no agent", f"collect it with {' or '.join(AGENTS.names())}"
        learned = maker.settings.env
        if known and learned.partition("-")[0] != settings.env.partition("-")[0]:
            what = f"collect.agent: learned in {learned}, which observes other things"
            yield what, f"let it act in an environment of {learned.partition('-')[0]}"
        if found["band"] is not None:
            yield from _band(found["band"], learned)

    def _tier(self, settings: TierStep) -> Iterator[Mistake]:
        from lawm_data.curation.tier import band_of, parse_band

        returns = settings.returns
        if returns is not None:
            yield from _refusal("tier.returns", lambda: parse_band(returns))
        kind = self._kinds.get(settings.corpora[0])
        if returns is None and kind is not None:
            hint = "give returns: LOW:HIGH"
            yield from _refusal("tier.tier", lambda: band_of(kind.env, settings.tier), hint)
        if settings.trajectories < len(settings.corpora):
            what = f"{settings.trajectories} of {len(settings.corpora)} corpora"
            yield f"tier.trajectories: {what}", "ask for one of each at least"
        for name in {n for n in settings.corpora if settings.corpora.count(n) > 1}:
            yield f"tier.corpora: {name!r} stands twice", "give it once"

    def _alike(self, job: Job) -> Iterator[Mistake]:
        """Corpora of several kinds cannot become one."""
        kinds = {name: self._kinds[name] for name in job.inputs if name in self._kinds}
        first = next(iter(kinds), "")
        for name, kind in kinds.items():
            if kind != kinds[first]:
                what = f"{job.operation}.corpora: {name!r} holds {kind}; {first!r} {kinds[first]}"
                yield what, "put corpora of one kind together"
                return

    def _kind(self, job: Job) -> Kind | None:
        """What the corpus of a job will hold, as far as the recipe says it."""
        settings = job.settings
        if isinstance(settings, ShippedStep):
            return None
        if isinstance(settings, RerenderStep):
            kind = self._kinds.get(job.inputs[0])
            drawn = settings.size, settings.draw, settings.distractors
            return kind and kind._replace(pixels=drawn[0], draw=drawn[1], distractors=drawn[2])
        if not isinstance(settings, CollectStep):
            return self._kinds.get(job.inputs[0])
        from lawm_data.envs.suites import usual_repeat

        agent = self._kinds.get(job.inputs[0]) if job.inputs else None
        if job.inputs and agent is None and settings.action_repeat is None:
            return None
        usual = agent.action_repeat if agent else usual_repeat(settings.env)
        repeat = settings.action_repeat or usual
        drawn = settings.draw, settings.distractors
        return Kind(settings.env, repeat, settings.pixels, settings.physics, *drawn)


def _band(text: str, env: str) -> Iterator[Mistake]:
    """What follows ``@snapshots:``, a tier or rounds."""
    from lawm_data.curation.tier import TIERS, band_of

    rounds = _ROUNDS.fullmatch(text)
    if text in TIERS:
        hint = "name rounds, @snapshots:LOW:HIGH"
        yield from _refusal("collect.agent", lambda: band_of(env, text), hint)
    elif not rounds:
        hint = f"give {', '.join(TIERS)}, or rounds LOW:HIGH"
        yield f"collect.agent: no tier {text!r}", hint
    elif all(rounds.groups()) and int(rounds[1]) > int(rounds[2]):
        yield f"collect.agent: rounds {text} are the wrong way round", "exchange them"


def _refusal(key: str, check: Callable[[], object], hint: str = "") -> Iterator[Mistake]:
    """The error of a check of the layer below, if it refuses."""
    try:
        check()
    except ConfigError as error:
        yield f"{key}: {error.where}: {error.what}", hint or error.hint
