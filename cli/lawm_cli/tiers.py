"""``lawm-data tier``: corpora of one quality out of collections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lawm_cli.curation import title, told
from lawm_cli.options import Corpora, DryRun, Json, Out, Seed, example
from lawm_cli.output import print_json
from lawm_data.system import terminal as show
from lawm_models.studies.recipes.step import warn

if TYPE_CHECKING:
    from lawm_data.curation.tier import Tiered


def tier(
    corpora: Corpora,
    tier: Annotated[
        Literal["expert", "medium", "medium-replay"], typer.Option(help="What is chosen.")
    ],
    trajectories: Annotated[int, typer.Option(min=1, help="Size of the corpus to write.")],
    out: Out,
    returns: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH", help="Returns, instead of the environment's preset."),
    ] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write a corpus of one quality tier.

    Every collection gives an equal share. Expert is chosen by return alone, medium from the stretch
    of training in which the agent was medium, medium-replay from everything up to its end. What a
    collection does not have is missing, and said.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.curation.tier import parse_band, write_tier

    band = None if returns is None else parse_band(returns)
    views = [open_corpus(path) for path in corpora]
    tiered = write_tier(views, tier, trajectories, out, returns=band, seed=seed, dry_run=dry_run)
    warn(tiered)
    result = outcome(tiered, dry_run)
    if json:
        print_json(result)
        return
    show.facts(
        {
            "trajectories": result["trajectories"],
            "missing": result["missing"],
            "returns": str(tiered.returns),
            "fingerprint": result["fingerprint"],
        },
        title=title(dry_run) or str(out),
    )
    print()
    columns = ("wanted", "eligible", "taken", "missing", "agent_steps")
    rows = [[share["path"], *map(share.get, columns)] for share in result["corpora"]]
    show.grid(["", *columns], rows)


def outcome(tiered: Tiered, dry_run: bool) -> dict[str, Any]:
    """The object that ``tier --json`` prints."""
    return {
        **told(tiered.derived, dry_run),
        "tier": tiered.tier,
        "returns": list(tiered.returns),
        "wanted": tiered.wanted,
        "missing": tiered.missing,
        "corpora": [share._asdict() for share in tiered.shares],
    }


def register(app: typer.Typer) -> None:
    """Add the command to a program."""
    app.command(
        epilog=example(
            "lawm-data tier corpora/ww-0 corpora/ww-1 --tier medium \\",
            "    --trajectories 800 --out corpora/ww-medium",
        )
    )(tier)
