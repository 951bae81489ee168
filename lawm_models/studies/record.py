"""``results.json``: everything that came out of a study, from its run folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lawm_schemas import (
    AnchorResult,
    CellResult,
    CorpusRecord,
    ExperimentConfig,
    LawmError,
    Results,
    Study,
)

from lawm_data.system import terminal as show
from lawm_models.studies.cell import Cell, CellRun, Place, command, key
from lawm_models.studies.judging import settings_of

RESULTS = "results.json"
STATES = ("done", "begun", "open", "failed")
"""How far a cell can be; see ``CellResult.state``."""
SEEN = {"fingerprint", "mask", "mask_sha256", "features", "trajectories", "labeled"}
"""What a cell says of its data."""


def cell_result(
    out: Path,
    study: Study,
    cell: Cell,
    run: CellRun,
    error: str | None,
    teacher: Path | None = None,
) -> CellResult:
    """What is known of a cell.

    Args:
        out: folder of the study.
        study: the study.
        cell: the cell.
        run: its run.
        error: what stopped it when it was tried last, or none.
        teacher: folder of the run whose inferred actions it learns from, if there is one.
    """
    folder = run.folder.relative_to(out).as_posix()
    known: dict[str, Any] = {"state": "open"}
    if run.saved is not None:
        record, metrics = run.saved.record, run.saved.metrics()
        finished = run.saved.is_finished()
        known = {
            "state": "done" if finished else "begun",
            "seconds": metrics[-1]["elapsed"] if metrics else 0.0,
            "started": record.started,
            "device": record.device,
            "versions": record.versions,
            "evaluation": run.saved.evaluation() if finished else None,
        }
    if error is not None and known["state"] != "done":
        known |= {"state": "failed", "error": error}
    return CellResult(
        corpus=cell.corpus,
        algorithm=cell.algorithm,
        labels=cell.labels,
        seed=cell.seed,
        run=folder,
        command=command(study, cell, folder, teacher and teacher.relative_to(out).as_posix()),
        inferred=cell.data.labels,
        **cell.data.model_dump(include=SEEN),
        **known,
    )


def taken_over(
    out: Path,
    study: Study,
    cell: Cell,
    run: CellRun,
    known: CellResult,
    teacher: Path | None = None,
) -> CellResult:
    """A cell whose numbers are known from elsewhere; its names are those of this study."""
    own = cell_result(out, study, cell, CellRun(run.folder, None), None, teacher)
    names = own.model_dump(include={"corpus", "algorithm", "labels", "run", "command", "mask"})
    figures = None if study.probe is None else known.figures
    judged = {"figures": figures, "judged_by": figures and cell.judged_by}
    return known.model_copy(update={**names, **judged})


def previous(out: Path) -> Results | None:
    """What was known of a study until now, if anything was.

    Raises:
        ConfigError: the file is damaged.
    """
    path = out / RESULTS
    return Results.read_json(path) if path.is_file() else None


def results(
    name: str,
    called: str,
    study: Study,
    cells: Sequence[Cell],
    found: Sequence[CellResult],
    anchors: Sequence[AnchorResult] = (),
) -> Results:
    """What is known of some cells of a study, and of each of them.

    Args:
        name: name of the study.
        called: the command.
        study: the study.
        cells: the cells.
        found: what is known of each.
        anchors: what they were judged beside.
    """
    configs = {
        cell.algorithm: cell.config.model_dump(mode="json", exclude={"corpora", "seed"})
        for cell in cells
    }
    return Results(
        name=name,
        command=called,
        study=study,
        configs=configs,
        cells=tuple(found),
        anchors=tuple(anchors),
    )


def by_state(cells: Sequence[CellResult]) -> Mapping[str, int]:
    """How many cells are in each state."""
    return {state: sum(cell.state == state for cell in cells) for state in STATES}


Known = dict[str, CellResult]
"""Finished runs by the keys of their cells; ``taken_from`` says where they are from."""


def read(paths: Iterable[Path], study: Study, cells: Sequence[Cell]) -> Known:
    """The runs of a study that files hold, with a line on stderr for each file.

    Where the study is judged by the probe, only those with its figures: a run that is elsewhere
    cannot be judged here.

    Args:
        paths: files as ``results.json``; later ones win.
        study: the study.
        cells: its cells.

    Raises:
        ConfigError: a file is missing or damaged.
    """
    count, found = len({cell.key for cell in cells}), {}
    for path in paths:
        results = Results.read_json(path)
        done, there = _finished(results, study, cells)
        what = f"{len(there)} of {count} runs are taken from it"
        if len(there) < len(done):
            what += f"; done, but without figures of this probe: {len(done) - len(there)}"
        if not results.configs:
            what = "says nothing of settings, so that none of its runs can be taken"
        show.line(f"{path}: {what}")
        found |= {k: c.model_copy(update={"taken_from": str(path)}) for k, c in there.items()}
    return found


def kept(path: Path, study: Study, cells: Sequence[Cell]) -> Known:
    """The runs that a study has taken from elsewhere before, by its own results file.

    Args:
        path: ``results.json``.
        study: the study.
        cells: its cells.

    Raises:
        ConfigError: the file is damaged.
    """
    if not path.is_file():
        return {}
    _, there = _finished(Results.read_json(path), study, cells)
    return {k: known for k, known in there.items() if known.taken_from}


def _finished(results: Results, study: Study, cells: Sequence[Cell]) -> tuple[Known, Known]:
    """The runs of a study that a file has, and those of them that need not be judged, either."""
    pairs = [(known, cell) for known, cell in matched(results, cells) if known.state == "done"]
    done = {cell.key: known for known, cell in pairs}
    if study.probe is None:
        return done, done
    lacking = {cell.key for known, cell in pairs if not has_figures(results, known, study, cell)}
    return done, {k: known for k, known in done.items() if k not in lacking}


def matched(results: Results, cells: Iterable[Cell]) -> list[tuple[CellResult, Cell]]:
    """The runs in a file, each with every cell of a study whose run it is.

    Those whose settings this version lacks are of no cell.
    """
    by_key: dict[str, list[Cell]] = {}
    for cell in cells:
        for name in {cell.key, cell.earlier_key}:
            by_key.setdefault(name, []).append(cell)
    return [
        (known, cell)
        for known in results.cells
        if (name := key_of(results, known)) is not None
        for cell in by_key.get(name, ())
    ]


def has_figures(results: Results, known: CellResult, study: Study, cell: Cell) -> bool:
    """Whether the probe of a study would find what it has found of a run in a file.

    Args:
        results: what is in the file.
        known: one of its runs.
        study: the study.
        cell: the cell of it whose run this is.
    """
    if known.figures is None:
        return False
    if known.judged_by is not None:
        return known.judged_by == cell.judged_by
    # an earlier version wrote down what was asked for; the labels are decided by the run
    before, now = results.study, study
    if before.probe is None or now.probe is None:
        return False
    paths = [str(each.corpora[c.corpus].whole) for each, c in ((before, known), (now, cell))]
    return settings_of(before.probe) == settings_of(now.probe) and _same_corpus(*paths)


def _same_corpus(before: str, now: str) -> bool:
    """Whether two paths are of one corpus; of what is gone nothing says that it was another."""
    from lawm_data.corpus.corpus import open_corpus

    if before == now:
        return True
    try:
        return open_corpus(before).root_fingerprint == open_corpus(now).root_fingerprint
    except LawmError:
        return True


def anchors(
    results: Results, study: Study, cells: Iterable[Cell]
) -> dict[Place, list[AnchorResult]]:
    """The anchors in a file of the runs that a study has, by where they stand in the study.

    Args:
        results: what is in the file.
        study: the study.
        cells: its cells.
    """
    found: dict[Place, list[AnchorResult]] = {}
    for known, cell in matched(results, cells):
        if cell.place in found or not has_figures(results, known, study, cell):
            continue
        place = (known.corpus, known.labels, known.seed)
        names = {"corpus": cell.corpus, "labels": cell.labels, "judged_by": cell.judged_by}
        beside = [a for a in results.anchors if (a.corpus, a.labels, a.seed) == place]
        if beside:
            found[cell.place] = [anchor.model_copy(update=names) for anchor in beside]
    return found


def key_of(results: Results, cell: CellResult) -> str | None:
    """The key of a cell by the settings of this version; None where it lacks one of them."""
    from lawm_models.training.experiment import resolve

    config = results.configs.get(cell.algorithm)
    if config is None:
        return None
    whole = {**config, "seed": cell.seed, "corpora": [{"path": ".", "mask": cell.mask}]}
    data = CorpusRecord(
        path=".",
        fingerprint=cell.fingerprint,
        mask=cell.mask,
        mask_sha256=cell.mask_sha256,
        trajectories=cell.trajectories,
        labeled=cell.labeled,
        features=cell.features,
        labels=cell.inferred,
    )
    try:
        return key(resolve(ExperimentConfig.parse(whole, cell.run)), [data])
    except LawmError:
        return None
