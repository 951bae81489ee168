"""``lawm benchmark``: every run of a study, in parallel, over several sittings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from lawm_schemas import CellResult, Results

from lawm_cli import errors
from lawm_cli.options import DryRun, Json, example
from lawm_cli.output import print_json
from lawm_data.system import terminal as show
from lawm_models.studies import cell as cells_of
from lawm_models.studies import pace, record, running
from lawm_models.studies.cell import Cell, Place
from lawm_models.studies.plan import Plan, read_study
from lawm_models.studies.record import Known
from lawm_models.studies.running import Turn, turns

if TYPE_CHECKING:
    from lawm_data.system.registry import Registry
    from lawm_models.studies.table import Table

EPILOG = example(
    "lawm benchmark claim --dry-run",
    "lawm benchmark claim --out runs/claim",
    "lawm benchmark claim --only '*-medium/lawm-*' --only '*/clap-5pct-seed0'",
    "lawm benchmark claim --known benchmarks/results/claim.json",
    "lawm table runs/claim/results.json",
)


def choices() -> Mapping[str, Registry[Any]]:
    """What the help of ``benchmark`` lists."""
    from lawm_data.system.workers import BACKENDS
    from lawm_models.studies.packaged import STUDIES

    return {"Studies": STUDIES, "Backends": BACKENDS}


def benchmark(
    study: Annotated[
        str,
        typer.Argument(metavar="STUDY", help="A YAML file, or one of those below."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the study; by default runs/ and the study's name."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Runs of these names alone, such as '*/lawm-5pct-seed0'; can be given again.",
        ),
    ] = None,
    known: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RESULTS",
            help="An earlier results.json, whose runs are not made again; can be given again.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Runs at once, one thread each; by default one per core."),
    ] = None,
    backend: Annotated[str, typer.Option(help="Where they run, see below.")] = "processes",
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N, for all runs.")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Run a study: corpora × algorithms × labels × seeds.

    Each run is that of a lawm train. The same command again goes on where runs were stopped, tries
    those that failed once more, and does nothing twice; runs that differ in their last stage alone
    share a world model. Everything is checked before anything runs. Exits with 1 when a run fails;
    the others go on.
    """
    from lawm_data.system.output import refuse_inside

    asked, name = read_study(study), Path(study).stem
    out = out or Path("runs") / name
    folder = out.absolute()
    refuse_inside(folder / record.RESULTS)
    plan = Plan(asked, study, device)
    there = record.kept(folder / record.RESULTS) | record.read(known or [], plan.cells)
    chosen = plan.named(only or ["*"])
    called = ["lawm", "benchmark", study, "--out", str(out)]
    called += ["--device", device] if device else []
    if dry_run:
        found = _Study(folder, name, shlex.join(called), plan, there)
    else:
        found = _run(folder, name, shlex.join(called), plan, there, chosen, workers, backend)
    result = {
        "study": study,
        "out": out,
        "results": None if dry_run else out / record.RESULTS,
        "dry_run": dry_run,
        **_document(found.results_of(chosen)),
    }
    print_json(result) if json else _report(result)
    if result["failed"] and not dry_run:
        raise typer.Exit(errors.FOUND)


class _Study:
    """The cells of a study, where they are run, and what is known of them."""

    def __init__(self, out: Path, name: str, called: str, plan: Plan, known: Known) -> None:
        self.out, self.name, self.called, self.study = out, name, called, plan.study
        self.known = known
        self.cells = plan.cells
        self.places = cells_of.places(out, plan.cells)
        self.errors = record.previous_errors(out)
        self.results = [self._result(cell) for cell in plan.cells]

    def results_of(self, cells: Sequence[Cell]) -> list[CellResult]:
        """What is known of some of them."""
        names = {cell.name for cell in cells}
        each = zip(self.cells, self.results, strict=True)
        return [result for cell, result in each if cell.name in names]

    def unfinished(self, cells: Sequence[Cell]) -> list[Cell]:
        """One cell for each run of some of them that is not done."""
        each = {cell.key: cell for cell in cells}
        done = {key for key in each if self.places[key].finished} | self.known.keys()
        return [cell for key, cell in each.items() if key not in done]

    def finish(self, key: str, error: str | None) -> None:
        """Look again at a run that has ended, and keep what came out."""
        from lawm_models.training.run_folder import CONFIG, RunFolder

        folder = self.places[key].folder
        there = (folder / CONFIG).is_file()
        self.places[key] = Place(folder, RunFolder.open(folder) if there else None)
        self.errors.pop(folder.relative_to(self.out).as_posix(), None)
        if error is not None:
            self.errors[folder.relative_to(self.out).as_posix()] = error
        for number, cell in enumerate(self.cells):
            if cell.key == key:
                self.results[number] = self._result(cell)
        self.write()

    def write(self) -> Path:
        """Write what is known."""
        return record.write_results(
            self.out, self.name, self.called, self.study, self.cells, self.results
        )

    def _result(self, cell: Cell) -> CellResult:
        place, known = self.places[cell.key], self.known.get(cell.key)
        if known is not None and not place.finished:
            return record.taken_over(self.out, self.study, cell, place, known)
        error = self.errors.get(place.folder.relative_to(self.out).as_posix())
        return record.cell_result(self.out, self.study, cell, place, error)


def _run(
    out: Path,
    name: str,
    called: str,
    plan: Plan,
    known: Known,
    chosen: Sequence[Cell],
    workers: int | None,
    backend: str,
) -> _Study:
    from lawm_data.system.atomic import WriterLock, storage_errors

    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(out, "study")
    try:
        study = _Study(out, name, called, plan, known)
        left = study.unfinished(chosen)
        # those of runs that were taken from elsewhere, too: their commands name them
        plan.write_masks([cell for cell in chosen if not study.places[cell.key].finished])
        study.write()
        if left:
            _work(study, left, workers, backend)
        return study
    finally:
        lock.release()


def _work(study: _Study, left: list[Cell], workers: int | None, backend: str) -> None:
    done = {
        cell.key: (
            cell,
            (result.seconds or 0.0) - pace.taken_seconds(study.places[cell.key].folder),
        )
        for cell, result in zip(study.cells, study.results, strict=True)
        if result.state == "done"
    }
    order = turns(left, study.cells, study.places)
    shorter = {turn.cell.key for turn in order if turn.shorter}
    shorter |= {key for key, place in study.places.items() if place.run and place.run.record.taken}
    watch = pace.Pace(left, done, study.places, shorter)
    work = [_item(turn, study.places[turn.cell.key]) for turn in order]
    try:
        for key, error, trace in running.run(work, workers, backend, watch):
            _keep_traceback(study.places[key].folder, trace)
            watch.finish(key, error is not None)
            study.finish(key, error)
    finally:
        watch.stop()


def _item(turn: Turn, place: Place) -> running.Work:
    # what is begun goes on as it began: a mask of another name may hide the same
    config = place.run.config if place.run else turn.cell.config
    return running.Work(
        turn.cell.key,
        config.model_dump(mode="json"),
        str(place.folder),
        turn.cell.data.model_dump(mode="json"),
        turn.others,
    )


def _keep_traceback(folder: Path, trace: str | None) -> None:
    """Beside the run folder, so that what is in that stays a run."""
    from lawm_data.system.atomic import write_file

    path = folder.with_name(f"{folder.name}.traceback.txt")
    if trace is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, trace.encode())


def _document(cells: Sequence[CellResult]) -> dict[str, Any]:
    """What ``--json`` prints of the cells."""
    keys = ("corpus", "algorithm", "labels", "seed", "state", "run", "command", "seconds", "error")
    entries = []
    for cell in cells:
        seen = cell.evaluation
        entries.append(
            {
                **{key: getattr(cell, key) for key in keys},
                "labeled": cell.labeled,
                "return_mean": seen.return_mean if seen else None,
                "normalized": seen.normalized if seen else None,
            }
        )
    return {**record.by_state(cells), "cells": entries}


def _report(result: dict[str, Any]) -> None:
    columns = [
        "corpus",
        "algorithm",
        "labels",
        "labeled",
        "seed",
        "state",
        "seconds",
        "return_mean",
    ]
    rows = [
        [cells_of.words(cell[key]) if key == "labels" else cell[key] for key in columns]
        for cell in result["cells"]
    ]
    show.grid([column.replace("_", " ") for column in columns], rows, title=str(result["out"]))
    print()
    print(", ".join(f"{result[state]} {state}" for state in record.STATES if result[state]))
    for cell in result["cells"]:
        if cell["error"]:
            print(f"failed: {cell['run']}: {cell['error']}")
    if result["results"]:
        print(f"tables and pictures: lawm table {result['results']}")


TABLE = example(
    "lawm table runs/claim/results.json",
    "lawm table runs/claim/results.json --out runs/claim/table",
)


def table(
    results: Annotated[Path, typer.Argument(help="results.json of a study.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for table.md, table.csv, table.html and the pictures."),
    ] = None,
    pictures: Annotated[
        Literal["png", "pdf", "svg"], typer.Option(help="What the files of the pictures are.")
    ] = "png",
    json: Json = False,
) -> None:
    """Make tables and pictures from the results of a study.

    Prints a table like the paper's Table 1 as Markdown, with the paper's numbers where a corpus is
    the paper's. With --out it is also written as Markdown, CSV and HTML, with pictures: score
    against labels, performance profiles, bars.
    """
    from lawm_models.studies.markdown import markdown
    from lawm_models.studies.table import make_table

    made = make_table(Results.read_json(results))
    files = _write(made, out, pictures) if out is not None else []
    if json:
        print_json({"results": results, "files": files, **_table_document(made)})
        return
    print(markdown(made), end="")
    for path in files:
        print(path)


def _write(made: Table, out: Path, kind: str) -> list[Path]:
    from lawm_data.system.atomic import storage_errors, write_file
    from lawm_data.system.figures import image
    from lawm_data.system.output import refuse_inside
    from lawm_models.studies.markdown import comma_separated, markdown
    from lawm_models.studies.pictures import pictures
    from lawm_models.studies.web_page import web_page

    refuse_inside(out / "table.md")
    drawn = pictures(made)
    page = web_page(made, {told: image(figure) for told, figure in drawn.values()})
    files = {
        "table.md": markdown(made).encode(),
        "table.csv": comma_separated(made).encode(),
        "table.html": page.encode(),
        **{f"{name}.{kind}": image(figure, f".{kind}") for name, (_, figure) in drawn.items()},
    }
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_file(out / name, content)
    return [out / name for name in files]


def _table_document(made: Table) -> dict[str, Any]:
    """What ``--json`` prints of the table."""
    columns = [
        {
            **{key: getattr(column, key) for key in ("algorithm", "title", "labels", "fraction")},
            "average": average,
            "iqm": iqm._asdict() if iqm else None,
        }
        for column, average, iqm in zip(made.columns, made.averages, made.iqms, strict=True)
    ]
    rows = [
        {
            "corpus": row.corpus,
            "normalized": row.normalized,
            "entries": [
                {
                    "scores": entry.scores,
                    **{key: getattr(entry.spread, key, None) for key in ("mean", "std", "stderr")},
                    "best": entry.best,
                    "paper": entry.reported._asdict() if entry.reported else None,
                }
                for entry in row.entries
            ],
        }
        for row in made.rows
    ]
    return {"name": made.name, "seeds": made.seeds, "columns": columns, "rows": rows}
