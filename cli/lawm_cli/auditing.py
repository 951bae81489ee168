"""``lawm audit``: which actions a run could see."""

from __future__ import annotations

from typing import Annotated

import typer

from lawm_cli import errors, report
from lawm_cli.options import Json, Run, example
from lawm_cli.output import print_json

EPILOG = example("lawm audit runs/a", "lawm audit runs/a --steps 20 --json")


def audit(
    run: Run,
    steps: Annotated[int, typer.Option(min=1, help="Gradient steps of every stage.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the garbage.")] = 0,
    json: Json = False,
) -> None:
    """Prove which actions a run could see.

    Compares its records with the corpora, and trains for a few steps with garbage in the place of
    hidden actions: the weights must come out the same, bit for bit. Exits with 1 when they do not,
    or when a record does not match.
    """
    from lawm_models.training.audit import audit as prove
    from lawm_models.training.run_folder import RunFolder

    result = {"run": run, **prove(RunFolder.open(run), steps, seed)}
    print_json(result) if json else report.audit(result)
    if not result["passed"]:
        raise typer.Exit(errors.FOUND)
