"""``lawm probe``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lawm_cli.options import Json, Seed, example
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

if TYPE_CHECKING:
    from lawm_data.system.registry import Registry
    from lawm_models.probes.result import Probe

EPILOG = example(
    "lawm-data split corpora/cs train=0.8 held=0.2 --out corpora/parts",
    "lawm train --corpus corpora/parts/train --algorithm lam --out runs/a",
    "lawm probe runs/a --corpus corpora/cs --mask 5pct --simulate --out a.html",
    "lawm probe runs/a-0 runs/a-1 runs/a-2 --corpus corpora/cs --json",
)


def choices() -> Mapping[str, Registry[Any]]:
    """What is measured."""
    from lawm_models.probes.columns import PROBES

    return {"Probes": PROBES}


def probe(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUNS", help="Run folders, of models with latent actions.", show_default=False
        ),
    ],
    corpus: Annotated[
        Path, typer.Option(help="Corpus: what the runs have not seen of it is judged.")
    ],
    mask: Annotated[
        str | None,
        typer.Option(help="Whose labels anchors and probes learn from; all without one."),
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option(
            "--simulate", help="Judge transfer and plans by the simulator, from recorded physics."
        ),
    ] = False,
    anchors: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Run to take as an anchor, of acwm or of lam without a constraint, instead of"
            " training it here; may be given several times.",
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, help="Gradient steps of each anchor and each probe.")
    ] = 700,
    pairs: Annotated[
        int | None,
        typer.Option(min=1, help="Pairs that are simulated, at most; by default 600."),
    ] = None,
    goals: Annotated[
        int | None,
        typer.Option(min=1, help="Goals that are planned for, at most; by default 30."),
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Page to write: FILE.html.")] = None,
    json: Json = False,
) -> None:
    """Judge latent actions on trajectories that no training has seen.

    Beside anchors: the state alone, true actions (acwm), no constraint, inverse dynamics on the
    same labels. Runs that differ in their seed alone are one row. Actions that masks hide are read,
    to judge; none is written.
    """
    from lawm_schemas import ConfigError

    from lawm_data.system.atomic import write_file
    from lawm_models.probes.page import web_page
    from lawm_models.probes.probe import probe as run_probe
    from lawm_models.probes.result import Settings

    if out is not None:
        _require_page(out)
    asked = {"pairs": pairs, "goals": goals}
    given = {name: count for name, count in asked.items() if count is not None}
    if given and not simulate:
        raise ConfigError("goes with --simulate", f"--{next(iter(given))}", "add --simulate")
    settings = Settings(steps=steps, seed=seed, **given)
    with show.Bars() as bars:
        found = run_probe(
            runs,
            corpus,
            mask,
            simulate=simulate,
            anchors=anchors or (),
            settings=settings,
            progress=bars,
        )
    if out is not None:
        write_file(out, web_page(found).encode())
    if json:
        print_json({**found.to_json(), "page": out})
    else:
        _table(found, out)


def _require_page(out: Path) -> None:
    """Refuse a place that no page can be written to, before anything takes time."""
    from lawm_schemas import ConfigError, StorageError

    from lawm_data.system.output import refuse_inside

    if out.suffix != ".html":
        raise ConfigError(f"{out.name!r} is no page", "--out", "end it in .html")
    if out.is_dir():
        raise StorageError("is a folder", str(out), "name the file to write, e.g. probe.html")
    if not out.parent.is_dir():
        raise StorageError("there is no such folder", str(out.parent), "make it first")
    refuse_inside(out)


def _table(found: Probe, out: Path | None) -> None:
    from lawm_models.probes.page import cell, shown_columns

    columns = shown_columns(found)
    rows = ([line.name, *(cell(line, column) for column in columns)] for line in found.lines)
    show.grid(["", *(column.title for column in columns)], rows, title=found.corpus)
    print(
        f"{found.transitions:,} transitions of {len(found.division.judged):,} trajectories that no "
        f"training has seen; labels of {found.labeled:,} others"
    )
    if out is not None:
        print(f"page: {out}")
