"""Judging the runs of a study by the probe, where no return tells them apart.

The runs of one corpus, label budget and seed are judged together, so that their anchors are trained
once, and from the labels that the runs could see.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lawm_schemas import AnchorResult, CorpusError, LawmError, Mask, Study
from lawm_schemas.study import StudyProbe

from lawm_models.studies.cell import Cell, Place


class Panel(NamedTuple):
    """Runs that are judged together, for a worker."""

    key: Place
    """Where they stand in the study."""
    runs: tuple[str, ...]
    """Their folders."""
    whole: str
    """Folder of a corpus with their trajectories, and others."""
    mask: Mask | None
    """That of the runs, as one of that corpus."""
    study: Study
    judged_by: str
    """See ``basis``."""


class Judgement(NamedTuple):
    """What was found of a panel."""

    panel: Panel
    figures: dict[str, dict[str, float]]
    """Of each run, by its folder."""
    anchors: tuple[AnchorResult, ...]
    error: str | None = None
    """Why there is nothing, in one line."""


def settings_of(probe: StudyProbe) -> dict[str, Any]:
    """Its settings that decide figures: without a simulator there are no pairs and no goals."""
    return probe.model_dump(exclude=set() if probe.simulate else {"pairs", "goals"})


def basis(probe: StudyProbe, whole: str, mask_sha256: str | None) -> str:
    """Hash of what decides the figures of a run beside the run itself.

    Args:
        probe: what is asked for.
        whole: fingerprint of the corpus that is judged on.
        mask_sha256: of the mask whose labels are learned from; none for all.
    """
    decided = {"probe": settings_of(probe), "whole": whole, "mask": mask_sha256}
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def panels(study: Study, cells: Sequence[Cell], folders: Sequence[Path]) -> list[Panel]:
    """Runs by what they are judged with.

    Args:
        study: one with a probe.
        cells: those whose runs are done.
        folders: their runs.
    """
    found: dict[Place, dict[str, Cell]] = {}
    for cell, folder in zip(cells, folders, strict=True):
        found.setdefault(cell.place, {})[str(folder)] = cell
    made = []
    for key, runs in found.items():
        judged_by, whole = next(iter(runs.values())).judged_by, study.corpora[key[0]].whole
        assert judged_by is not None
        made.append(Panel(key, tuple(runs), str(whole), _mask(study, runs), study, judged_by))
    return made


def _mask(study: Study, runs: dict[str, Cell]) -> Mask | None:
    """The mask of runs, as one of the corpus that they are judged on: the same labels."""
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.corpus.mask import find_mask

    cell = next(iter(runs.values()))
    name, entry = cell.config.corpora[0].mask, study.corpora[cell.corpus]
    if name is None:
        return None
    whole = open_corpus(str(entry.whole))
    bound = {"corpus": whole.root_fingerprint, "chosen_from": None}
    return find_mask(Path(entry.path), name).model_copy(update=bound)


def judge(
    work: Sequence[Panel],
    workers: int | None,
    backend: str,
    pace: Callable[[], None],
) -> Iterator[Judgement]:
    """Probe every panel, on workers; one that fails does not stop the others.

    Args:
        work: the panels.
        workers: how many at once; none takes one per core.
        backend: where they work.
        pace: called about every second.

    Raises:
        ConfigError: no such backend.
    """
    from lawm_data.system.workers import executor

    def lost(panel: Panel, died: str) -> Judgement:
        return Judgement(panel, {}, (), f"three workers died at it ({died}); give them more memory")

    yield from executor(backend)(_prepare, work, workers, pace, lost)


def _prepare() -> Callable[[Panel], Judgement]:
    """Make a worker ready."""
    return judge_panel


def judge_panel(panel: Panel) -> Judgement:
    """Probe the runs of a panel."""
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.corpus.mask import mask_sha256
    from lawm_models.probes.probe import probe
    from lawm_models.probes.result import Settings
    from lawm_models.training.seeding import thread_limit

    asked, (corpus, labels, seed) = panel.study.probe, panel.key
    assert asked is not None
    try:
        now = open_corpus(panel.whole).root_fingerprint
        if basis(asked, now, panel.mask and mask_sha256(panel.mask)) != panel.judged_by:
            what = "has changed since the study was checked"
            raise CorpusError(what, panel.whole, "run the benchmark again")
        with thread_limit(1):
            found = probe(
                panel.runs,
                panel.whole,
                panel.mask,
                simulate=asked.simulate,
                settings=Settings(asked.steps, asked.pairs, seed, asked.goals),
            )
    except LawmError as error:
        return Judgement(panel, {}, (), str(error))
    figures, anchors = {}, []
    for line in found.lines:
        values = {name: each[0] for name, each in line.values.items()}
        if line.kind == "run":
            figures[line.runs[0]] = values
        else:
            anchor = AnchorResult(
                corpus=corpus,
                labels=labels,
                seed=seed,
                kind=line.kind,
                figures=values,
                judged_by=panel.judged_by,
            )
            anchors.append(anchor)
    return Judgement(panel, figures, tuple(anchors))
