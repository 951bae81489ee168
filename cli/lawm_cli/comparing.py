"""``lawm compare-labels``: inferred actions against the true ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from lawm_schemas import ConfigError

from lawm_cli import errors, report
from lawm_cli.options import Corpus, Json, Run, Withheld, example
from lawm_cli.output import print_json

EPILOG = example(
    "lawm compare-labels corpora/cs --labels lawm --truth-from-withheld",
    "lawm compare-labels corpora/cs --labels m1 --labels m5 \\",
    "    --truth-from-withheld --held-out 10pct --picture labels.png",
)
Names = Annotated[
    list[str],
    typer.Option("--labels", metavar="OVERLAY", help="Overlay; may be given several times."),
]
HeldOut = Annotated[
    str | None,
    typer.Option(metavar="MASK", help="Read only what this larger mask shows: a validation set."),
]
Own = Annotated[
    bool, typer.Option("--own", help="Judge each overlay on all it labels, not on the common part.")
]
Picture = Annotated[
    Path | None, typer.Option(help="Draw calibration and errors: .png, .pdf, .svg.")
]


def compare(
    corpus: Corpus,
    labels: Names,
    truth_from_withheld: Withheld = False,
    held_out: HeldOut = None,
    own: Own = False,
    picture: Picture = None,
    json: Json = False,
) -> None:
    """Judge inferred actions by the true ones.

    This reads actions that a mask hides, from a corpus that has recorded them, and only with
    --truth-from-withheld. It prints figures over many steps; no action is shown or written. Several
    overlays are compared on the trajectories that all of them label; of models trained under
    several masks, that is the error against the number of labels.
    """
    if not truth_from_withheld:
        raise ConfigError(
            "needs actions that masks hide", "lawm compare-labels", "allow --truth-from-withheld"
        )
    if picture is not None:
        from lawm_data.system.figures import require_kind

        require_kind(picture, "--picture")
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.inspection.label_error import compare_labels

    result = compare_labels(open_corpus(corpus, verify=True), labels, held_out, own)
    if picture is not None:
        from lawm_cli.picture import draw_label_errors

        draw_label_errors(picture, result["overlays"])
    result["picture"] = picture
    print_json(result) if json else report.label_errors(result)


AUDIT = example("lawm audit runs/a", "lawm audit runs/a --steps 20 --json")


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
    from lawm_models.runs.run import load_run

    result = {"run": run, **load_run(run).audit(steps=steps, seed=seed)}
    print_json(result) if json else report.audit(result)
    if not result["passed"]:
        raise typer.Exit(errors.FOUND)
