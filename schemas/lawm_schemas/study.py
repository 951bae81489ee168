"""A study: corpora × algorithms × labels × seeds, for ``lawm benchmark``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from lawm_schemas.base import Schema, Size

ALL = "all"
"""The label budget of an oracle: every recorded action."""
_MASK = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,99}")


def _label(value: Any) -> Any:
    """Take a fraction, ``all`` or the name of a mask; all of them is ``all``."""
    if isinstance(value, str) and _MASK.fullmatch(value):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 < value <= 1:
            raise ValueError(f"the fraction {value} is not in (0, 1]")
        return ALL if value == 1 else float(value)
    raise ValueError(f"{value!r} is no fraction such as 0.05, not {ALL}, and no name of a mask")


Label = Annotated[float | str, BeforeValidator(_label)]
"""How many actions a run sees: a fraction, ``all``, or the name of a mask beside the corpora."""
Labels = tuple[Label, ...]
Name = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.+-]{0,99}$")]
Seed = Annotated[int, Field(ge=0)]


class StudyCorpus(Schema):
    """A corpus of a study; the path alone may stand for it."""

    path: str
    """Folder of the corpus."""
    paper: str | None = None
    """Which data set of the paper's Table 1 it is, such as ``walker-walk/medium``, or none."""
    whole: str | None = None
    """Folder of a corpus with its trajectories and others, on which runs are judged (``probe``)."""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, data: Any) -> Any:
        return {"path": data} if isinstance(data, str) else data


class StudyAlgorithm(Schema):
    """An algorithm with settings: a column of the table. Nothing need be said."""

    algorithm: str | None = None
    """Which algorithm it is; none for the one of the entry's own name."""
    title: str | None = None
    """What it is called in tables, such as ``LAWM without …``."""
    preset: str | None = None
    """Preset instead of the study's."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Values by the dotted names that ``lawm train --set`` takes."""
    labels: Labels | None = None
    """Label budgets instead of the study's."""
    corpora: tuple[Name, ...] | None = Field(default=None, min_length=1)
    """Those of the study's corpora that it is run on; none for all."""
    relabeled_by: Name | None = None
    """Another of the algorithms: what its run of the same corpus, labels and seed infers of hidden
    actions is learned from, too, as by ``lawm relabel`` and ``lawm train --labels``."""

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, data: Any) -> Any:
        return {} if data is None else data


class StudyMasks(Schema):
    """How the masks of the fractions are made; with one seed they are nested."""

    seed: int | None = Field(default=None, ge=0)
    """Key of the choice; none takes the seed of the run."""
    by: Literal["trajectories", "steps"] = "trajectories"
    """What the fractions count."""
    stratify: Literal["return", "source"] | None = None
    """Strata that each get their share, or none."""


class StudyProbe(Schema):
    """How runs are judged by what their latent actions are, as ``lawm probe`` does."""

    simulate: bool = False
    """By the simulator, too."""
    steps: Size = 700
    """Gradient steps of each anchor and of each network of a probe."""
    pairs: Size = 600
    """Transitions whose actions are simulated in the state of another."""
    goals: Size = 30
    """That are planned for."""


class Study(Schema):
    """A YAML file for ``lawm benchmark``."""

    description: str = ""
    """What the study is."""
    corpora: dict[Name, StudyCorpus] = Field(min_length=1)
    """The data, by name: rows of the table."""
    algorithms: dict[Name, StudyAlgorithm] = Field(min_length=1)
    """What is compared, by name: columns of the table."""
    labels: Labels = (0.05,)
    """Label budgets of every algorithm that names none itself."""
    masks: StudyMasks = StudyMasks()
    """How fractions become masks."""
    seeds: tuple[Seed, ...] = (0,)
    """Seeds; the one seed of each run."""
    preset: str = "small"
    """Preset of every algorithm that names none itself."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Values for all algorithms, by the dotted names that ``lawm train --set`` takes."""
    probe: StudyProbe | None = None
    """Judge runs by their latent actions, and not by returns."""

    def labels_of(self, algorithm: str) -> tuple[float | str, ...]:
        """Label budgets of one of the algorithms."""
        own = self.algorithms[algorithm].labels
        return self.labels if own is None else own

    def corpora_of(self, algorithm: str) -> tuple[str, ...]:
        """Corpora of one of the algorithms, in the order of the study."""
        own = self.algorithms[algorithm].corpora
        return tuple(name for name in self.corpora if own is None or name in own)

    @model_validator(mode="after")
    def _known_corpora(self) -> Study:
        for name, entry in self.algorithms.items():
            unknown = [corpus for corpus in entry.corpora or () if corpus not in self.corpora]
            if unknown:
                known = ", ".join(self.corpora)
                what = f"algorithms.{name}.corpora: no corpus {unknown[0]!r}; there are {known}"
                raise ValueError(what)
        return self

    @model_validator(mode="after")
    def _relabeled_by_another(self) -> Study:
        for name, entry in self.algorithms.items():
            by = entry.relabeled_by
            if by is None:
                continue
            where = f"algorithms.{name}.relabeled_by"
            if by not in self.algorithms:
                known = ", ".join(self.algorithms)
                raise ValueError(f"{where}: no algorithm {by!r}; there are {known}")
            if self.algorithms[by].relabeled_by is not None:
                raise ValueError(f"{where}: {by} is told inferred actions itself")
            for what, own, others in (
                ("corpora", self.corpora_of(name), self.corpora_of(by)),
                ("labels", self.labels_of(name), self.labels_of(by)),
            ):
                if lacking := [value for value in own if value not in others]:
                    raise ValueError(f"{where}: {by} is not run on {what} {lacking[0]!r}")
        return self

    @model_validator(mode="after")
    def _judged_on_something(self) -> Study:
        for name, corpus in self.corpora.items():
            if (corpus.whole is None) != (self.probe is None):
                what = f"corpora.{name}.whole: says what a probe judges on, and goes with probe"
                raise ValueError(what)
        return self

    @model_validator(mode="after")
    def _each_once(self) -> Study:
        each: dict[str, Sequence[object] | None] = {"seeds": self.seeds, "labels": self.labels}
        for name, entry in self.algorithms.items():
            each[f"algorithms.{name}.labels"] = entry.labels
            each[f"algorithms.{name}.corpora"] = entry.corpora
        for key, values in each.items():
            if values is not None and not values:
                raise ValueError(f"{key} is empty")
            twice = [value for i, value in enumerate(values or ()) if value in (values or ())[:i]]
            if twice:
                raise ValueError(f"{key} has a value twice: {twice[0]}")
        return self
