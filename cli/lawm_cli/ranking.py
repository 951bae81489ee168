"""``lawm rank``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lawm_cli.options import Json, example
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

EPILOG = example(
    "lawm rank runs/a runs/b runs/c",
    "lawm rank runs/near runs/far --model runs/m-0 --model runs/m-1",
    "lawm rank runs/bc runs/a --model runs/m --corpus corpora/other --steps 200",
)


def rank(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUNS", help="Run folders with a policy.", show_default=False),
    ],
    model: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Run of lawm, lawm_plus or clap whose world model judges; may be given several"
            " times. By default those among RUNS.",
        ),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Corpus with whose first observations episodes begin; by default that of the"
            " first model."
        ),
    ] = None,
    starts: Annotated[int, typer.Option(min=1, help="Episodes of each policy.")] = 50,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps of an episode; by default those of the longest trajectory."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the beginnings and of what models draw.")
    ] = 0,
    json: Json = False,
) -> None:
    """Order policies by their returns in world models: no simulator is needed.

    Each policy acts in each world model as in an environment. One that it was trained in has no say
    on it, unless there is no other: a policy exploits what is wrong there. Take world models of
    several seeds, of lawm rather than of clap where labels are few.
    """
    from lawm_models.runs.rank import rank

    with show.Bars() as bars:
        progress = bars.of("policies in models")
        found = rank(
            runs, model or (), corpus, starts=starts, steps=steps, seed=seed, progress=progress
        )
    print_json(found) if json else _show(found)


def _show(found: Mapping[str, Any]) -> None:
    """The order, as a table for people."""
    columns = ["mean", "lowest"]
    if any(row["evaluated"] is not None for row in found["policies"]):
        columns.append("evaluated")
    models = len(found["models"])
    title = (
        f"returns of {found['starts']} episodes of {found['steps']:,} steps in {models} world model"
        f"{'s' if models > 1 else ''}"
    )
    rows = [[row[key] for key in ("run", "algorithm", *columns)] for row in found["policies"]]
    show.grid(("policy", "algorithm", *columns), rows, title=title)
