"""``lawm-data build``: from a recipe to the corpora of a study, over several sittings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lawm_cli.options import DryRun, Json, choosing, example
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

if TYPE_CHECKING:
    from lawm_data.system.registry import Registry
    from lawm_models.studies.recipes.build import JobState


def build(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="A YAML file, or one of those below."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the study; by default corpora/ and the recipe's name."),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Make again what is derived from something that changed."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Workers at once; by default one per core.")
    ] = None,
    backend: Annotated[str, typer.Option(help="Where workers run, see below.")] = "processes",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make the corpora of a study from nothing.

    Steps that are done are skipped, and collections go on where they were stopped: the same command
    again goes on with a study. A recipe is checked as a whole first; --dry-run checks it and does
    nothing.
    """
    from lawm_data.envs.renderer import choose_renderer
    from lawm_data.system.output import refuse_inside
    from lawm_models.studies.recipes import read_jobs
    from lawm_models.studies.recipes.build import Options, survey
    from lawm_models.studies.recipes.build import build as build_all

    study = out or Path("corpora") / Path(recipe).stem
    refuse_inside(study / "corpus")
    jobs = read_jobs(recipe)
    choose_renderer()
    states = (
        survey(study, jobs)
        if dry_run
        else build_all(study, jobs, Options(replace, workers, backend))
    )
    steps = [_document(study, entry) for entry in states]
    result = {
        "recipe": recipe,
        "out": study,
        "dry_run": dry_run,
        "done": all(entry.state == "done" for entry in states),
        "missing": sum(entry["missing"] or 0 for entry in steps),
        "steps": steps,
    }
    if json:
        print_json(result)
        return
    columns = ("operation", "state", "trajectories", "missing", "seconds", "fingerprint")
    rows = [
        [entry["name"], *(entry[key] for key in columns[:-1]), (entry["fingerprint"] or "")[:16]]
        for entry in steps
    ]
    show.grid(["step", *columns], rows, title=str(study))


def _document(out: Path, entry: JobState) -> dict[str, Any]:
    """A step as ``--json`` prints it."""
    from lawm_models.collection.session import collected
    from lawm_models.studies.recipes import step

    job, state, reason = entry
    record = step.read_record(out, job)
    return {
        "name": job.name,
        "operation": job.operation,
        "state": state,
        "reason": reason or None,
        "trajectories": collected(out / job.name.partition("@")[0]),
        "missing": record.missing if record else None,
        "seconds": record.seconds if record else None,
        "fingerprint": step.output_of(out, job),
    }


def _choices() -> Mapping[str, Registry[Any]]:
    from lawm_data.system.workers import BACKENDS
    from lawm_models.studies.recipes.packaged import RECIPES

    return {"Recipes": RECIPES, "Backends": BACKENDS}


def register(app: typer.Typer) -> None:
    """Add the command to a program."""
    app.command(
        cls=choosing(_choices),
        epilog=example(
            "lawm-data build two-cores --out corpora/two-cores --dry-run",
            "lawm-data build study.yaml --out corpora/study",
        ),
    )(build)
