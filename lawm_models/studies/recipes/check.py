"""What is wrong with the jobs of a recipe, found before any of them is done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from lawm_schemas import ConfigError
from lawm_schemas.recipe import CollectStep, FilterStep, MaskStep, MergeStep, TierStep

from lawm_models.collection.agents import AGENTS
from lawm_models.collection.session import unfit_for_learning
from lawm_models.studies.recipes.job import AGENT, Job

BESIDE = (AGENT, ".parts", ".made.json")
"""How names end that lie beside an output: its agent, unfinished rollouts, its record."""
_ACTING = re.compile(rf"[^@]+{re.escape(AGENT)}(@snapshots(:(?P<band>.*))?)?")
_ROUNDS = re.compile(r"(\d*):(\d*)")

Mistake = tuple[str, str]
"""What is wrong, and how to mend it."""


class Kind(NamedTuple):
    """What the trajectories of a corpus have in common: other ones cannot be put with them."""

    env: str
    action_repeat: int
    pixels: int | None
    physics: bool

    def __str__(self) -> str:
        pixels = "" if self.pixels is None else f", {self.pixels} pixels"
        physics = "" if self.physics else ", no physics"
        return f"{self.env} with action repeat {self.action_repeat}{pixels}{physics}"


class Check:
    """The jobs of a recipe so far, and what is wrong with the next one.

    Args:
        promised: what steps would make that cannot be read; nothing is said of those who use it.
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
        mistakes = [*self._name(job), *self._inputs(job), *self._settings(job)]
        self._made.setdefault(job.name, job)
        kind = self._kind(job)
        if kind is not None:
            self._kinds.setdefault(job.name, kind)
        return [ConfigError(what, where, hint) for what, hint in mistakes]

    def _name(self, job: Job) -> Iterator[Mistake]:
        if job.name in self._made:
            yield f"{job.name!r} is made twice", "choose another name, or put {seed} into it"
            return
        for suffix in BESIDE:
            if any(part.endswith(suffix) for part in PurePosixPath(job.name).parts):
                what = f"{job.name!r} cannot be told from what is kept beside an output"
                yield what, f"choose a name that does not end in {suffix}"
        for other in self._made.values() if job.operation != "mask" else ():
            inner, outer = sorted((job.name, other.name), key=len, reverse=True)
            if other.operation != "mask" and inner.startswith(f"{outer}/"):
                yield f"{inner!r} would lie inside the corpus {outer!r}", "choose another name"

    def _inputs(self, job: Job) -> Iterator[Mistake]:
        for name in job.inputs:
            known = name in self._made and self._made[name].operation != "mask"
            if not known and name not in self._promised:
                there = ", ".join(n for n, j in self._made.items() if j.operation != "mask")
                yield (
                    f"{name!r} is not made by an earlier step",
                    f"earlier corpora: {there or 'none'}",
                )

    def _settings(self, job: Job) -> Iterator[Mistake]:
        match job.settings:
            case CollectStep() as settings:
                yield from self._collect(settings)
            case TierStep() as settings:
                yield from self._alike(job)
                yield from self._tier(settings)
            case MergeStep():
                yield from self._alike(job)
            case FilterStep(where=where):
                from lawm_data.curation.expression import require_expression

                yield from _said("filter.where", lambda: require_expression(where))
            case MaskStep():
                from lawm_data.corpus.mask import NAME, NAME_HINT

                if not NAME.fullmatch(job.name.partition("@")[2]):
                    yield f"{job.name!r} cannot be the name of a mask", NAME_HINT

    def _collect(self, settings: CollectStep) -> Iterator[Mistake]:
        from lawm_data.envs.suites import require_task

        unknown = list(_said("collect.env", lambda: require_task(settings.env)))
        yield from unknown
        if settings.agent in AGENTS:
            given = unfit_for_learning(settings.pixels, settings.num_envs, settings.noise)
            for key in given:
                yield f"collect.{key}: does not go with agent {settings.agent}", "leave it out"
        elif settings.agent != "random":
            yield from self._acting(settings, not unknown)

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
            yield from _said("tier.returns", lambda: parse_band(returns))
        kind = self._kinds.get(settings.corpora[0])
        if returns is None and kind is not None:
            hint = "give returns: LOW:HIGH"
            yield from _said("tier.tier", lambda: band_of(kind.env, settings.tier), hint)
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
        if not isinstance(settings, CollectStep):
            return self._kinds.get(job.inputs[0])
        from lawm_data.envs.suites import usual_repeat

        agent = self._kinds.get(job.inputs[0]) if job.inputs else None
        if job.inputs and agent is None and settings.action_repeat is None:
            return None
        usual = agent.action_repeat if agent else usual_repeat(settings.env)
        repeat = settings.action_repeat or usual
        return Kind(settings.env, repeat, settings.pixels, settings.physics)


def _band(text: str, env: str) -> Iterator[Mistake]:
    """What follows ``@snapshots:``, a tier or rounds."""
    from lawm_data.curation.tier import TIERS, band_of

    rounds = _ROUNDS.fullmatch(text)
    if text in TIERS:
        hint = "name rounds, @snapshots:LOW:HIGH"
        yield from _said("collect.agent", lambda: band_of(env, text), hint)
    elif not rounds:
        hint = f"give {', '.join(TIERS)}, or rounds LOW:HIGH"
        yield f"collect.agent: no tier {text!r}", hint
    elif all(rounds.groups()) and int(rounds[1]) > int(rounds[2]):
        yield f"collect.agent: rounds {text} are the wrong way round", "exchange them"


def _said(key: str, check: Callable[[], object], hint: str = "") -> Iterator[Mistake]:
    """What a check of the layer below says, if it refuses."""
    try:
        check()
    except ConfigError as error:
        yield f"{key}: {error.where}: {error.what}", hint or error.hint
