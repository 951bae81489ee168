"""A cell of a study: one run, known by what decides its numbers."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lawm_schemas import CorpusRecord, ExperimentConfig, LawmError, Mask, Study

from lawm_data.system import terminal as show

if TYPE_CHECKING:
    from lawm_models.training.run_folder import RunFolder

RUNS = "runs"
"""Folder of the run folders in that of a study."""


Place = tuple[str, float | str, int]
"""Corpus, label budget and seed of a cell."""


class Cell(NamedTuple):
    """One run that a study asks for."""

    corpus: str
    """Name of the corpus in the study."""
    algorithm: str
    """Name of the algorithm in the study."""
    labels: float | str
    """Label budget: a fraction, ``all``, or the name of a mask."""
    seed: int
    """The one seed."""
    config: ExperimentConfig
    """Complete."""
    data: CorpusRecord
    """The corpus as it is, through its mask."""
    mask: Mask | None
    """A mask to be written first, unless it is there already."""
    whole: str
    """Fingerprint of the corpus with all its actions, by which earlier versions knew it."""
    teacher: Cell | None = None
    """The cell whose run infers actions that this one learns from, too."""
    judged_by: str | None = None
    """What its figures depend on beside the run, see ``judging.basis``; none without a probe."""

    @property
    def name(self) -> str:
        """Name of its folder, unless that is taken."""
        return f"{self.corpus}/{self.algorithm}-{label_name(self.labels)}-seed{self.seed}"

    @property
    def place(self) -> Place:
        """Where it stands in the study, but for its algorithm."""
        return self.corpus, self.labels, self.seed

    @property
    def key(self) -> str:
        """What decides its numbers; two cells with one key are one run."""
        return key(self.config, [self.data])

    @property
    def inferred(self) -> str:
        """What the actions are called that its run infers for others: by what decides them."""
        return f"study-{self.config.algorithm.name}-{self.key[:16]}"

    @property
    def earlier_key(self) -> str:
        """The key in what an earlier version has written."""
        return key(self.config, [self.data.model_copy(update={"fingerprint": self.whole})])


class CellRun(NamedTuple):
    """The run of a cell."""

    folder: Path
    saved: RunFolder | None
    """What is there so far."""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.saved is not None and self.saved.is_finished()


_INFERRED = re.compile(r"study-.+-[0-9a-f]{16}")
"""See ``Cell.inferred``."""


def key(config: ExperimentConfig, data: Iterable[CorpusRecord]) -> str:
    """Hash of a configuration and the content of its data, wherever they are and however called.

    Inferred actions are known by their checksum, but those of a study by their name, so that a run
    is known before they are.
    """
    content = config.model_dump(mode="json", exclude={"preset", "corpora"})
    content["data"] = [
        (
            *(seen.fingerprint, seen.mask_sha256, source.weight, *sorted(seen.features.items())),
            *([_identity(seen)] if seen.labels else []),
        )
        for seen, source in zip(data, config.corpora, strict=True)
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def run_key(run: RunFolder) -> str:
    """The key of a run by what it has written down.

    Raises:
        ConfigError: this version lacks one of its settings.
    """
    from lawm_models.training.experiment import resolve

    # a run of an earlier version does not name settings that are younger
    return key(resolve(run.config), run.record.corpora)


def _identity(seen: CorpusRecord) -> str | None:
    return seen.labels if _INFERRED.fullmatch(seen.labels or "") else seen.labels_sha256


def cell_runs(out: Path, cells: Iterable[Cell]) -> dict[str, CellRun]:
    """The runs of the cells, by their keys: those that are there are found whatever their names.

    Args:
        out: folder of the study.
        cells: what it asks for.
    """
    there = _runs(out / RUNS)
    found: dict[str, CellRun] = {}
    taken = {run.path for run in there.values()}
    for cell in cells:
        if cell.key in found:
            continue
        run = there.get(cell.key)
        if run is None and (earlier := there.get(cell.earlier_key)) and earlier.is_finished():
            run = earlier  # it could not be gone on with
        folder = run.path if run else _free(out / RUNS / cell.name, taken)
        taken.add(folder)
        found[cell.key] = CellRun(folder, run)
    return found


def _runs(folder: Path) -> dict[str, RunFolder]:
    from lawm_models.training.run_folder import CONFIG, RunFolder

    found = {}
    for path in sorted(folder.glob(f"*/*/{CONFIG}")):
        try:
            run = RunFolder.open(path.parent)
            found[run_key(run)] = run
        except LawmError as error:
            show.line(f"left alone: {error}")
    return found


def _free(folder: Path, taken: set[Path]) -> Path:
    """The first of ``NAME``, ``NAME-2``, … in which there is no other run."""
    from lawm_models.training.run_folder import CONFIG

    number, free = 1, folder
    while free in taken or (free / CONFIG).exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def label_name(labels: float | str) -> str:
    """A label budget as a part of a name."""
    return labels if isinstance(labels, str) else f"{100 * labels:.10g}pct"


def mask_name(study: Study, labels: float, seed: int) -> str:
    """What the mask of a fraction is called: everything that it was made with."""
    parts = ["study", label_name(labels), study.masks.stratify, f"seed{seed}"]
    parts.insert(2, "steps" if study.masks.by == "steps" else None)
    return "-".join(part for part in parts if part)


def command(study: Study, cell: Cell, run: str, teacher: str | None = None) -> str:
    """The ``lawm train`` that does what a cell does.

    Args:
        study: the study.
        cell: one of its cells.
        run: its run folder.
        teacher: that of the run whose inferred actions it learns from; ``lawm relabel`` is first.
    """
    entry = study.algorithms[cell.algorithm]
    options: Mapping[str, Any] = {
        "corpus": study.corpora[cell.corpus].path,
        "mask": cell.config.corpora[0].mask,
        "labels": cell.config.corpora[0].labels,
        "algorithm": entry.algorithm or cell.algorithm,
        "preset": entry.preset or study.preset,
        "seed": cell.seed,
        "device": None if cell.config.device == "cpu" else cell.config.device,
    }
    parts = ["lawm", "train"]
    for name, value in options.items():
        parts += [] if value is None else [f"--{name}", str(value)]
    for name, value in {**study.settings, **entry.settings}.items():
        parts += ["--set", f"{name}={json.dumps(value)}"]
    train = shlex.join([*parts, "--out", run])
    if teacher is None:
        return train
    asked = ["--corpus", study.corpora[cell.corpus].path, "--name", str(options["labels"])]
    return f"{shlex.join(['lawm', 'relabel', teacher, *asked])} && {train}"
