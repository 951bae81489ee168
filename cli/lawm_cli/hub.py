"""``lawm-data push-to-hub`` and ``pull``: corpora on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lawm_cli.options import Corpus, DryRun, Json, example
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

Repo = Annotated[
    str, typer.Argument(metavar="USER/NAME", help="Dataset repository.", show_default=False)
]


def push_to_hub(
    corpus: Corpus,
    repo: Repo,
    mask: Annotated[
        str | None, typer.Option(help="Look through this mask; publish no action that it hides.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
    keep_withheld: Annotated[
        bool,
        typer.Option("--keep-withheld", help="Publish the hidden actions too, and the mask."),
    ] = False,
    licence: Annotated[
        str | None, typer.Option(metavar="SPDX", help="Licence, e.g. CC-BY-4.0.")
    ] = None,
    revision_of: Annotated[
        str | None,
        typer.Option(
            metavar="FINGERPRINT", help="Replace this corpus, though it is no earlier version."
        ),
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Publish a corpus on the Hugging Face Hub.

    As Parquet, for everybody, and as it is, for pull and train. It is visible as a whole or not at
    all; run again after a failure, it uploads what is missing. A repository that holds anything but
    an earlier version of the corpus is not touched. The token is that of 'hf auth login' or
    HF_TOKEN; HF_ENDPOINT chooses another server.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.exchange.hub import push

    view = open_corpus(corpus)
    view = view if mask is None else view.with_mask(mask)
    with show.Bars() as bars:
        pushed = push(
            view,
            repo,
            private=private,
            keep_withheld=keep_withheld,
            licence=licence,
            progress=bars.of("push"),
            dry_run=dry_run,
            revision_of=revision_of,
        )
    if pushed.licence is None:
        show.line("warning: the card names no licence, so nobody may use it; give --licence")
    result = pushed._asdict()
    print_json(result) if json else _show(result, "nothing is published (--dry-run)")


def pull(
    repo: Repo,
    out: Annotated[Path, typer.Argument(help="Folder of the corpus to write.")],
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit; by default the newest.")
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Fetch a corpus from the Hugging Face Hub.

    With its masks and overlays. Every byte is checked before the folder gets its name.
    """
    from lawm_data.exchange.hub import pull as fetch

    with show.Bars() as bars:
        pulled = fetch(repo, out, revision=revision, progress=bars.of("pull"), dry_run=dry_run)
    result = pulled._asdict()
    print_json(result) if json else _show(result, "nothing is fetched (--dry-run)")


def _show(result: dict[str, Any], nothing: str) -> None:
    rows = {key: value for key, value in result.items() if value or key == "new"}
    left, dry_run = rows.pop("left", ()), rows.pop("dry_run", False)
    size = rows.pop("bytes")
    rows["files"] = f"{rows['files']}, {size / 1e6:.3g} MB"
    if "withheld" in rows:
        where = "published all the same" if rows.pop("kept", False) else "not published"
        rows["withheld"] = f"the actions of {result['withheld']:,} trajectories, {where}"
    show.facts(rows, title=nothing if dry_run else None)
    for reason in left:
        print(f"left behind: {reason}")


def register(app: typer.Typer) -> None:
    """Add these commands to a program."""
    app.command(
        "push-to-hub",
        epilog=example(
            "lawm-data push-to-hub corpora/cs user/cs-5pct --mask 5pct --licence MIT",
            "lawm-data push-to-hub corpora/cs user/cs --dry-run",
        ),
    )(push_to_hub)
    app.command(
        epilog=example(
            "lawm-data pull user/cs-5pct corpora/cs-5pct",
            "lawm-data pull user/cs-5pct corpora/cs-5pct --dry-run",
        )
    )(pull)
