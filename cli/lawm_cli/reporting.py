"""``lawm-data report``: a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lawm_cli.options import Corpus, Json, Labels, Mask, example
from lawm_cli.output import print_json
from lawm_cli.rendering import choose_renderer
from lawm_data.system import terminal as show

EPILOG = example("lawm-data report corpora/cs -o report.html --mask 5pct --labels lawm-a")


def report(
    corpus: Corpus,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path(
        "report.html"
    ),
    mask: Mask = None,
    labels: Labels = None,
    trajectories: Annotated[
        int, typer.Option(min=1, help="How many can be looked at one by one.")
    ] = 60,
    clips: Annotated[int, typer.Option(min=0, help="How many of them get moving pictures.")] = 6,
    json: Json = False,
) -> None:
    """Write a page to look at, about a corpus.

    One file that needs no network: returns, labels, distributions, trajectories one by one,
    provenance. Pictures need recorded pixels, or the physics state.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.inspection.report.page import write_report
    from lawm_data.system.output import refuse_inside

    refuse_inside(out)
    choose_renderer()
    view = open_corpus(corpus, verify=True)
    view = view if mask is None else view.with_mask(mask)
    view = view if labels is None else view.with_labels(labels)
    with show.Bars() as bars:
        result = write_report(view, out, trajectories=trajectories, clips=clips, bars=bars)
    if json:
        print_json(result)
        return
    facts = {
        "page": result["report"],
        "size": f"{result['bytes'] / 1e6:.3g} MB",
        "trajectories to look at": result["browsable"],
        "with moving pictures": result["clips_problem"] or result["clips"],
    }
    show.facts(facts, title=result["path"])
