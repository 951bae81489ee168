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
from lawm_models.studies.cell import Cell, CellRun, command, key

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
    return known.model_copy(update=names)


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


def read(paths: Iterable[Path], cells: Iterable[Cell]) -> Known:
    """The runs of a study that files hold, with a line on stderr for each file.

    Args:
        paths: files as ``results.json``; later ones win.
        cells: of the study.

    Raises:
        ConfigError: a file is missing or damaged.
    """
    wanted, found = _keys(cells), {}
    for path in paths:
        results = Results.read_json(path)
        there = {wanted[k]: cell for k, cell in finished(results).items() if k in wanted}
        what = f"{len(there)} of {len(set(wanted.values()))} runs are taken from it"
        if not results.configs:
            what = "says nothing of settings, so that none of its runs can be taken"
        show.line(f"{path}: {what}")
        found |= {k: c.model_copy(update={"taken_from": str(path)}) for k, c in there.items()}
    return found


def kept(path: Path, cells: Iterable[Cell]) -> Known:
    """The runs that a study has taken from elsewhere before, by its own results file.

    Args:
        path: ``results.json``.
        cells: of the study.

    Raises:
        ConfigError: the file is damaged.
    """
    if not path.is_file():
        return {}
    wanted, there = _keys(cells), finished(Results.read_json(path))
    return {wanted.get(k, k): cell for k, cell in there.items() if cell.taken_from}


def _keys(cells: Iterable[Cell]) -> dict[str, str]:
    """The keys of cells, by themselves and by what they were in an earlier version."""
    return {name: cell.key for cell in cells for name in (cell.earlier_key, cell.key)}


def finished(results: Results) -> Known:
    """The runs of a file that are done, but for those whose settings this version lacks."""
    cells = (cell for cell in results.cells if cell.state == "done")
    return {k: cell for cell in cells if (k := _key(results, cell)) is not None}


def _key(results: Results, cell: CellResult) -> str | None:
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
