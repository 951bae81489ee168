"""Runs of earlier results files, which need not be made again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lawm_schemas import CellResult, CorpusRecord, ExperimentConfig, LawmError, Results

from lawm_data.system import terminal as show
from lawm_models.studies.cell import Cell, key

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
    wanted, found = {cell.key for cell in cells}, {}
    for path in paths:
        results = Results.read_json(path)
        there = {k: cell for k, cell in finished(results).items() if k in wanted}
        told = f"{len(there)} of {len(wanted)} runs are taken from it"
        if not results.configs:
            told = "says nothing of settings, so that none of its runs can be taken"
        show.line(f"{path}: {told}")
        found |= {k: c.model_copy(update={"taken_from": str(path)}) for k, c in there.items()}
    return found


def kept(path: Path) -> Known:
    """The runs that a study has taken from elsewhere before, by its own results file.

    Raises:
        ConfigError: the file is damaged.
    """
    if not path.is_file():
        return {}
    return {k: cell for k, cell in finished(Results.read_json(path)).items() if cell.taken_from}


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
    )
    try:
        return key(resolve(ExperimentConfig.parse(whole, cell.run)), [data])
    except LawmError:
        return None
