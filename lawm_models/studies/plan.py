"""From a study to its cells; everything that is wrong is found at once."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lawm_schemas import (
    ConfigError,
    CorpusRecord,
    CorpusSource,
    ExperimentConfig,
    LawmError,
    Mask,
    Recipe,
    Study,
)
from lawm_schemas.errors import several
from lawm_schemas.study import ALL

from lawm_models.studies import paper
from lawm_models.studies.cell import Cell, mask_name
from lawm_models.studies.judging import basis
from lawm_models.studies.packaged import STUDIES
from lawm_models.studies.recipes.packaged import RECIPES
from lawm_models.studies.variant import variant

if TYPE_CHECKING:
    from lawm_data.corpus.corpus import Corpus


class Budget(NamedTuple):
    """What a run may see of a corpus."""

    data: CorpusRecord
    """The corpus as it is, through its mask."""
    mask: Mask | None
    """A mask to be written first, or none when it is there, or everything is seen."""
    whole: str
    """Fingerprint of the corpus with all its actions."""


class Plan:
    """The cells of a study.

    Cells are in the order of the table, seed by seed.

    Args:
        study: the study.
        where: what it is called in messages.
        device: where it runs instead of where its settings say, or none.

    Raises:
        ConfigError: something is wrong; ``SeveralErrors`` names all of it.
    """

    def __init__(self, study: Study, where: str, device: str | None = None) -> None:
        self.study = study
        self._errors: list[ConfigError] = []
        self._wholes: dict[str, str] = {}  # fingerprints of what is judged on
        variants: dict[str, dict[str, Any]] = {}
        for name in study.algorithms:
            variants[name], wrong = variant(study, name, device)
            self._errors += wrong
        views = {name: self._open(name, where) for name in study.corpora}
        used = {labels for name in study.algorithms for labels in study.labels_of(name)}
        self._variants = variants
        self._budgets = {
            (name, labels, seed): self._budget(name, view, labels, seed)
            for name, view in views.items()
            if view is not None
            for labels in sorted(used, key=str)
            for seed in study.seeds
        }
        if self._errors:
            raise several(
                [ConfigError(e.what, f"{where}: {e.where}", e.hint) for e in self._errors]
            )
        self.views = {name: view for name, view in views.items() if view is not None}
        self.cells = [
            self._cell(corpus, algorithm, labels, seed)
            for seed in study.seeds
            for corpus in study.corpora
            for algorithm in study.algorithms
            if corpus in study.corpora_of(algorithm)
            for labels in study.labels_of(algorithm)
        ]

    def named(self, patterns: Sequence[str]) -> list[Cell]:
        """The cells whose names match any of the shell patterns.

        Raises:
            ConfigError: a pattern matches none.
        """
        for pattern in patterns:
            if not any(fnmatchcase(cell.name, pattern) for cell in self.cells):
                hint = f"the first is called {self.cells[0].name}"
                raise ConfigError("no run of the study has such a name", pattern, hint)
        return [c for c in self.cells if any(fnmatchcase(c.name, pattern) for pattern in patterns)]

    def write_masks(self, cells: list[Cell]) -> None:
        """Write the masks that cells need and that are not there yet.

        Raises:
            MaskError: another mask of this name is for the same corpus.
        """
        from lawm_data.corpus.mask import save_mask

        needed = {(cell.corpus, cell.mask.name): cell.mask for cell in cells if cell.mask}
        for (corpus, name), mask in needed.items():
            view = self.views[corpus]
            there = view.masks().get(name)
            # one of a corpus that has changed since is of no use to anybody
            stale = there is not None and there.corpus != mask.corpus
            save_mask(view, mask, replace=stale)

    def _open(self, name: str, study: str) -> Corpus | None:
        from lawm_data.corpus.corpus import open_corpus

        entry, where = self.study.corpora[name], f"corpora.{name}"
        if entry.paper is not None and entry.paper not in paper.datasets():
            hint = f"its data sets: {', '.join(paper.datasets())}"
            self._errors.append(ConfigError(f"the paper has no {entry.paper!r}", where, hint))
        try:
            view = open_corpus(entry.path)
        except LawmError as error:
            self._note(where, error, _made_by(Path(entry.path), study))
            return None
        if view.manifest.environment is None and self.study.probe is None:
            what = f"{entry.path} names no environment to evaluate in"
            self._errors.append(ConfigError(what, where, "there is nothing to compare"))
        if entry.whole is not None:
            try:
                whole = open_corpus(entry.whole)
            except LawmError as error:
                self._note(f"{where}.whole", error, _made_by(Path(entry.whole), study))
                return view
            self._wholes[name] = whole.root_fingerprint
            if whole.unlabeled_fingerprint == view.unlabeled_fingerprint:
                what = f"{entry.whole} holds the trajectories of {entry.path} and no others"
                hint = "name a corpus with others, too, on which runs can be judged"
                self._errors.append(ConfigError(what, f"{where}.whole", hint))
        return view

    def _budget(self, name: str, view: Corpus, labels: float | str, seed: int) -> Budget | None:
        """A mask, or all; None when something is wrong with it."""
        from lawm_data.corpus.mask import find_mask, make_mask
        from lawm_models.training.experiment import corpus_record

        made, masks = None, self.study.masks
        key = seed if masks.seed is None else masks.seed
        try:
            if labels == ALL:
                seen = view
            elif isinstance(labels, str):
                seen = view.with_mask(find_mask(view.path, labels))
            else:
                mask = mask_name(self.study, labels, key)
                made = make_mask(view, labels, key, mask, masks.by, masks.stratify)
                seen = view.with_mask(made)
        except LawmError as error:
            self._note(f"corpora.{name}", error)
            return None
        labeled = seen.label_counts()["observed"]
        if not labeled:
            self._errors.append(
                ConfigError("no trajectory has readable actions", f"corpora.{name}", "add some")
            )
        return Budget(corpus_record(seen, str(view.path)), made, view.fingerprint)

    def _cell(self, corpus: str, algorithm: str, labels: float | str, seed: int) -> Cell:
        from lawm_models.training.experiment import features_of, resolve

        budget = self._budgets[corpus, labels, seed]
        assert budget is not None  # else there was an error
        by = self.study.algorithms[algorithm].relabeled_by
        teacher = None if by is None else self._cell(corpus, by, labels, seed)
        inferred = teacher and teacher.inferred
        source = CorpusSource(path=budget.data.path, mask=budget.data.mask, labels=inferred)
        whole = self._variants[algorithm] | {"corpora": [source.model_dump()], "seed": seed}
        config = resolve(ExperimentConfig.model_validate(whole))
        seen = self.views[corpus].observing(config.observe)
        record = budget.data.model_copy(update={"features": features_of(seen), "labels": inferred})
        decided = (config, record, budget.mask, budget.whole)
        probe, judged_by = self.study.probe, None
        if probe is not None:
            judged_by = basis(probe, self._wholes[corpus], record.mask_sha256)
        return Cell(corpus, algorithm, labels, seed, *decided, teacher, judged_by)

    def _note(self, where: str, error: LawmError, hint: str | None = None) -> None:
        what = f"{error.where}: {error.what}" if error.where else error.what
        self._errors.append(ConfigError(what, where, hint or error.hint))


def _made_by(path: Path, study: str) -> str | None:
    """How to make a corpus that is not there, if a recipe of the package does.

    That of its folder's name, which is where a recipe's corpora go by default, or of the study's.
    """
    if path.exists():
        return None
    for name in (path.parent.name, study):
        if name in RECIPES:
            recipe = Recipe.parse(RECIPES.load(name), name)
            if any(step.make == path.name for step in recipe.steps):
                out = "" if name == path.parent.name else f" --out {path.parent}"
                return f"make it with lawm-data build {name}{out}"
    return None


def read_study(name: str) -> Study:
    """A study from a file, or one in the package by its name.

    Raises:
        ConfigError: there is none; ``SeveralErrors`` names everything that the schema refuses.
    """
    data = STUDIES.load(name)
    faults = Study.faults(data)
    if faults:
        raise several([fault.error(name) for fault in faults])
    return Study.model_validate(data)
