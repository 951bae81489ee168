"""A recipe: the steps from nothing to the corpora of a study."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from lawm_schemas.base import Schema

SEED = "{seed}"
"""What stands for the seed in the names of steps that are done once per seed."""
_SEGMENT = r"[0-9A-Za-z{][0-9A-Za-z_.{}-]*"
NAME_PATTERN = rf"^{_SEGMENT}(/{_SEGMENT})*(@{_SEGMENT})?$"

NAME_RULE = (
    "use letters, digits, '_', '.', '-' and {seed}, a letter or digit first, '/' between folders, "
    "and CORPUS@NAME for a mask or features"
)

Names = tuple[str, ...]
Seed = Annotated[int, Field(ge=0)]


def different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """The seeds, if none of them stands twice."""
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"a seed stands twice in {list(seeds)}")
    return seeds


class CollectStep(Schema):
    """Record an environment, as ``lawm-data collect`` does."""

    env: str
    """Environment, ``DOMAIN-TASK``."""
    agent: str = "random"
    """``random``, a learning agent, or that of an earlier step: ``NAME.agent``,
    ``NAME.agent@snapshots``, or ``NAME.agent@snapshots:TIER`` for those of the stretch of training
    that a tier is taken from."""
    trajectories: int = Field(ge=1)
    """Size of the corpus."""
    seed: int = Field(default=0, ge=0)
    """The one seed, where ``{seed}`` is not in the name of the step."""
    action_repeat: int | None = Field(default=None, ge=1)
    """Control steps per recorded step; none takes the agent's, or 2."""
    pixels: int | None = Field(default=None, ge=8)
    """Edge of the camera image, or none."""
    draw: Literal["fast", "shadows", "suite"] | None = None
    """How it is drawn; none as is usual of the suite, which of dm_control is ``fast``."""
    distractors: tuple[str, ...] = ()
    """What else moves in it: ``video:FILE``, ``agents``, ``noise``."""
    num_envs: int | None = Field(default=None, ge=1)
    """Environments stepped together."""
    noise: bool | None = None
    """Sample the policy instead of taking its mode."""
    physics: bool = True
    """Record the simulator's state, for pictures and replay."""


class ShippedStep(Schema):
    """Take a corpus that is in the package."""

    corpus: str
    """Its name, such as ``cartpole-swingup``."""


class RerenderStep(Schema):
    """Draw a corpus with pictures, as ``lawm-data rerender`` does."""

    corpus: str
    """Step that the trajectories come from."""
    size: int = Field(ge=8, le=4096)
    """Edge of the pictures."""
    draw: Literal["fast", "shadows", "suite"] | None = None
    """How they are drawn; none as is usual of the suite."""
    camera: int | str | None = None
    """Number or name in the simulator's model; none takes the usual one."""
    distractors: tuple[str, ...] = ()
    """What else moves in them: ``video:FILE``, ``agents``, ``noise``."""
    seed: int = Field(default=0, ge=0)
    """Of the distractors."""


class TierStep(Schema):
    """Choose the trajectories of a quality tier, as ``lawm-data tier`` does."""

    corpora: Names = Field(min_length=1)
    """Steps that they come from, equal shares of each; ``{seed}`` stands for all seeds."""
    tier: Literal["expert", "medium", "medium-replay"]
    """What is chosen."""
    trajectories: int = Field(ge=1)
    """Size of the corpus."""
    returns: str | None = None
    """``LOW:HIGH`` instead of the environment's preset."""
    seed: int = Field(default=0, ge=0)
    """Key of the choice."""


class MergeStep(Schema):
    """Put corpora together, as ``lawm-data merge`` does."""

    corpora: Names = Field(min_length=1)
    """Steps that they come from; ``{seed}`` stands for all seeds."""


class FilterStep(Schema):
    """Keep some trajectories, as ``lawm-data filter`` does."""

    corpus: str
    """Step that they come from."""
    where: str
    """Expression that is true of those to keep."""


class MaskStep(Schema):
    """Hide most actions of the corpus in the step's name, as ``lawm-data mask`` does."""

    fraction: float = Field(gt=0, le=1)
    """Share that keeps its actions."""
    seed: int = Field(default=0, ge=0)
    """Key of the choice."""
    by: Literal["trajectories", "steps"] = "trajectories"
    """What the fraction counts."""
    stratify: Literal["return", "source"] | None = None
    """Strata that each get their share, or none."""


class FeaturesStep(Schema):
    """Train an encoder on the corpus in the step's name, and write its features beside it."""

    algorithm: str = "autoencoder"
    """What learns the encoder."""
    preset: str = "small"
    """Preset of its training."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Values by the dotted names that ``lawm train --set`` takes."""
    seed: int = Field(default=0, ge=0)
    """Seed of its training."""


class Step(Schema):
    """One step: a name, and one thing to do."""

    make: str = Field(json_schema_extra={"pattern": NAME_PATTERN})
    """Folder of the corpus within the study, or ``CORPUS@NAME`` for a mask or features beside it.
    With ``{seed}`` in it the step is done for every seed."""
    seeds: tuple[Seed, ...] | None = Field(default=None, min_length=1)
    """Seeds of this step instead of the recipe's."""
    collect: CollectStep | None = None
    """Record an environment."""
    shipped: ShippedStep | None = None
    """Take a corpus that is in the package."""
    rerender: RerenderStep | None = None
    """Draw pictures."""
    tier: TierStep | None = None
    """Choose a quality tier."""
    merge: MergeStep | None = None
    """Put corpora together."""
    filter: FilterStep | None = None
    """Keep some trajectories."""
    mask: MaskStep | None = None
    """Hide most actions."""
    features: FeaturesStep | None = None
    """Train an encoder, and encode every observation."""

    @property
    def operation(self) -> str:
        """Name of what is done."""
        return next(name for name in OPERATIONS if getattr(self, name) is not None)

    @property
    def settings(self) -> Schema:
        """How it is done."""
        return getattr(self, self.operation)

    @field_validator("make")
    @classmethod
    def _name(cls, make: str) -> str:
        if not re.fullmatch(NAME_PATTERN, make):
            what = f"{make!r} cannot be the name of a step"
            raise ValueError(f"{what}: {NAME_RULE}")
        return make

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return None if seeds is None else different(seeds)

    @model_validator(mode="after")
    def _one_thing(self) -> Step:
        given = [name for name in OPERATIONS if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"{len(given)} of them are" if given else "none is"
            raise ValueError(f"one of {', '.join(OPERATIONS)} must be given, {found}")
        if ("@" in self.make) != (given[0] in BESIDE):
            what = "CORPUS@NAME is the name of a mask or features step, and of no other"
            raise ValueError(what)
        return self


BESIDE = ("mask", "features")
"""Operations that write beside a corpus."""
OPERATIONS = ("collect", "shipped", "rerender", "tier", "merge", "filter", *BESIDE)


class Recipe(Schema):
    """A YAML file for ``lawm-data build``."""

    description: str = ""
    """What the study is."""
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    """What ``{seed}`` stands for."""
    steps: tuple[Step, ...] = Field(min_length=1)
    """In an order in which each one uses earlier ones only."""

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return different(seeds)


class StepRecord(Schema):
    """``NAME.made.json`` beside the output of a step: from what it was made."""

    operation: str
    """What was done."""
    settings: dict[str, Any]
    """How."""
    inputs: dict[str, str]
    """Fingerprints of the steps that it used, by name."""
    output: str | None = None
    """Fingerprint of what was made (of a mask, the hash of its ids); none while it is not done."""
    missing: int = Field(default=0, ge=0)
    """Trajectories that a tier could not be given."""
    seconds: float = Field(default=0.0, ge=0)
    """Time spent on it, over all calls."""
