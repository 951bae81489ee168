"""``lawm table``: the results of a study as tables and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from lawm_schemas import Results

from lawm_cli.options import Json, example
from lawm_cli.output import print_json

if TYPE_CHECKING:
    from lawm_models.studies.table import Entry, Table

EPILOG = example(
    "lawm table runs/claim/results.json",
    "lawm table runs/claim/results.json --out runs/claim/table",
)


def table(
    results: Annotated[Path, typer.Argument(help="results.json of a study.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for table.md, table.csv, table.html and the pictures."),
    ] = None,
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
    files = _write(made, out) if out is not None else []
    if json:
        print_json({"results": results, "files": files, **_told(made)})
        return
    print(markdown(made), end="")
    for path in files:
        print(path)


def _write(made: Table, out: Path) -> list[Path]:
    from lawm_data.system.atomic import storage_errors, write_file
    from lawm_data.system.output import refuse_inside
    from lawm_models.studies.markdown import markdown
    from lawm_models.studies.pictures import pictures
    from lawm_models.studies.plain_csv import comma_separated
    from lawm_models.studies.web_page import web_page

    refuse_inside(out / "table.md")
    drawn = pictures(made)
    page = web_page(made, dict(drawn.values()))
    files = {
        "table.md": markdown(made).encode(),
        "table.csv": comma_separated(made).encode(),
        "table.html": page.encode(),
        **{name: image for name, (_, image) in drawn.items()},
    }
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_file(out / name, content)
    return [out / name for name in files]


def _told(made: Table) -> dict[str, Any]:
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
            "entries": [_entry(entry) for entry in row.entries],
        }
        for row in made.rows
    ]
    return {"name": made.name, "seeds": made.seeds, "columns": columns, "rows": rows}


def _entry(entry: Entry) -> dict[str, Any]:
    seen = entry.spread
    return {
        "scores": entry.scores,
        "mean": seen.mean if seen else None,
        "std": seen.std if seen else None,
        "stderr": seen.stderr if seen else None,
        "best": entry.best,
        "paper": entry.reported._asdict() if entry.reported else None,
    }
