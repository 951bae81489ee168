"""``lawm benchmark``: every run of a study, in parallel, over several sittings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lawm_cli import errors
from lawm_cli.options import DryRun, Json, example
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

if TYPE_CHECKING:
    from lawm_schemas import CellResult, Results

    from lawm_data.system.registry import Registry
    from lawm_models.studies.table import ScoreTable

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
    stack: Annotated[
        int | None,
        typer.Option(
            min=1, help="Seeds that a worker trains at once; by default all, if none is left idle."
        ),
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Run a study: corpora × algorithms × labels × seeds.

    Each run is that of a lawm train. The same command again goes on where runs were stopped, tries
    those that failed once more, and does nothing twice; runs that differ in their last stage alone
    share a world model. Everything is checked before anything runs. Exits with 1 when a run fails,
    or the probe of a study that is judged by it; the others go on.
    """
    from lawm_models.studies.benchmark import benchmark as run_study
    from lawm_models.studies.record import RESULTS

    out = out or Path("runs") / Path(study).stem
    found = run_study(
        study,
        out,
        only=only or ["*"],
        known=known or [],
        workers=workers,
        backend=backend,
        device=device,
        stack=stack,
        dry_run=dry_run,
    )
    result = {
        "study": study,
        "out": out,
        "results": None if dry_run else out / RESULTS,
        "dry_run": dry_run,
        **_document(found.cells),
    }
    print_json(result) if json else _report(result)
    if (result["failed"] or any(cell.unjudged for cell in found.cells)) and not dry_run:
        raise typer.Exit(errors.FOUND)


def _document(cells: Sequence[CellResult]) -> dict[str, Any]:
    """What ``--json`` prints of the cells."""
    from lawm_models.studies.record import by_state

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
                "unjudged": cell.unjudged,
            }
        )
    return {**by_state(cells), "cells": entries}


def _report(result: dict[str, Any]) -> None:
    from lawm_models.studies.cell import label_name
    from lawm_models.studies.record import STATES

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
        [label_name(cell[key]) if key == "labels" else cell[key] for key in columns]
        for cell in result["cells"]
    ]
    show.grid([column.replace("_", " ") for column in columns], rows, title=str(result["out"]))
    print()
    print(", ".join(f"{result[state]} {state}" for state in STATES if result[state]))
    for cell in result["cells"]:
        if cell["error"]:
            print(f"failed: {cell['run']}: {cell['error']}")
        if cell["unjudged"]:
            print(f"not judged: {cell['run']}: {cell['unjudged']}")
    if result["results"]:
        print(f"tables and pictures: lawm table {result['results']}")


TABLE = example(
    "lawm table runs/claim/results.json",
    "lawm table runs/claim/results.json --against clap",
    "lawm table runs/claim/results.json --out runs/claim/table",
)


def table(
    results: Annotated[Path, typer.Argument(help="results.json of a study.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for table.md, table.csv, table.html and the pictures."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Algorithm of the study that the others are compared with, in pairs of runs.",
        ),
    ] = None,
    pictures: Annotated[
        Literal["png", "pdf", "svg"] | None,
        typer.Option(help="With --out, what the pictures are; by default png."),
    ] = None,
    json: Json = False,
) -> None:
    """Make tables and pictures from the results of a study.

    Prints a table like the paper's Table 1 as Markdown, with the paper's numbers where a corpus is
    the paper's. With --out it is also written as Markdown, CSV and HTML, with pictures: score
    against labels, performance profiles, bars. Of a study that is judged by the probe the table has
    its columns, and the pictures of each corpus and label budget a curve for each constraint.

    With --against the differences to one algorithm follow, by the seeds that both have, which share
    masks and initial states, with p of a sign-flip test.
    """
    from lawm_schemas import ConfigError, Results

    from lawm_models.studies.markdown import markdown
    from lawm_models.studies.table import make_table

    if pictures is not None and out is None:
        raise ConfigError("goes with --out", "--pictures", "give a folder for them")
    kind = pictures or "png"
    found = Results.read_json(results)
    if found.study.probe is not None:
        if against is not None:
            what = "compares returns, and this study is judged by the probe"
            raise ConfigError(what, "--against", "leave it out")
        _probed(found, results, out, kind, json)
        return
    made = make_table(found, against)
    files = _write(made, out, kind) if out is not None else []
    if json:
        print_json({"results": results, "files": files, **_table_document(made), "probed": ()})
        return
    print(markdown(made), end="")
    for path in files:
        print(path)


def _probed(found: Results, results: Path, out: Path | None, kind: str, json: bool) -> None:
    """The table of a study that is judged by the probe."""
    from lawm_data.system.figures import image
    from lawm_models.probes.result import figure
    from lawm_models.studies import probe_table

    made, files = probe_table.make_probe_table(found), []
    if out is not None:
        drawn = probe_table.pictures(made)
        contents = {
            "table.md": probe_table.markdown(made).encode(),
            "table.csv": probe_table.comma_separated(made).encode(),
            **{f"{name}.{kind}": image(picture, f".{kind}") for name, picture in drawn.items()},
        }
        files = _write_all(out, contents)
    if json:
        rows = [
            {
                "corpus": row.corpus,
                "labels": row.labels,
                "name": row.line.name,
                "kind": row.line.kind,
                "figures": {name: figure(each) for name, each in row.line.values.items()},
            }
            for row in made.rows
        ]
        about = {"name": found.name, "seeds": found.study.seeds, "columns": (), "rows": ()}
        about |= {"against": None, "differences": ()}
        print_json({"results": results, "files": files, **about, "probed": rows})
        return
    print(probe_table.markdown(made), end="")
    for path in files:
        print(path)


def _write(made: ScoreTable, out: Path, kind: str) -> list[Path]:
    from lawm_data.system.figures import image
    from lawm_models.studies.markdown import comma_separated, markdown
    from lawm_models.studies.pictures import pictures
    from lawm_models.studies.web_page import web_page

    drawn = pictures(made)
    page = web_page(made, {title: image(figure) for title, figure in drawn.values()})
    files = {
        "table.md": markdown(made).encode(),
        "table.csv": comma_separated(made).encode(),
        "table.html": page.encode(),
        **{f"{name}.{kind}": image(figure, f".{kind}") for name, (_, figure) in drawn.items()},
    }
    return _write_all(out, files)


def _write_all(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    from lawm_data.system.atomic import storage_errors, write_file
    from lawm_data.system.output import refuse_inside

    refuse_inside(out / "table.md")
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_file(out / name, content)
    return [out / name for name in files]


def _table_document(made: ScoreTable) -> dict[str, Any]:
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
    differences = [
        {
            "algorithm": column.algorithm,
            "labels": column.labels,
            **{key: getattr(found, key) for key in ("mean", "by_corpus", "ahead", "p")},
            "pairs": [pair._asdict() for pair in found.pairs],
        }
        for column, found in made.differences
    ]
    about = {"name": made.name, "seeds": made.seeds, "columns": columns, "rows": rows}
    return {**about, "against": made.against, "differences": differences}
