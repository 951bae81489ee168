"""``lawm-data features``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lawm_cli.options import Corpus, Json, Replace, example
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

EPILOG = example(
    "lawm train --corpus corpora/cs --algorithm autoencoder --out runs/ae",
    "lawm-data features corpora/cs --run runs/ae --name ae64",
    "lawm train --corpus corpora/cs@5pct --set observe=features:ae64 --out runs/a",
)


def features(
    corpus: Corpus,
    run: Annotated[Path, typer.Option(help="Run that has trained an encoder.")],
    name: Annotated[str, typer.Option(help="What the features are called.")],
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Encode every observation once, and keep what comes out beside the corpus.

    Training on features is as fast as on a state. The probe says how much of the true state they
    tell on trajectories that it has not seen: nothing that learns from them can know more. A
    command that was killed goes on where it was.
    """
    from lawm_models.runs.features import make_features

    with show.Bars() as bars:
        made = make_features(run, corpus, name, replace, bars)
    result = {"corpus": corpus, "run": run, **made}
    if json:
        print_json(result)
        return
    rows = {
        "features": f"{made['width']} numbers for each of {made['observations']:,} observations",
        "size": f"{made['bytes'] / 1e6:,.1f} MB",
        "written to": made["path"],
        "observe them": f"lawm train --corpus {corpus} --set observe=features:{name}",
    }
    show.facts(rows, title=f"{corpus}: features {name}")
    if made["probe"]:
        print("\nR² of the true state from them, on held-out trajectories")
        show.grid(["field", "R²"], [[field, r2] for field, r2 in made["probe"].items()])
