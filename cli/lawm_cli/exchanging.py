"""``lawm-data import``, ``export`` and ``formats``: the door to foreign formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from lawm_schemas import ConfigError

from lawm_cli.options import Corpus, DryRun, FormatSettings, Json, Keep, Latents, example, through
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lawm_data.exchange.exporting import Exported
    from lawm_data.exchange.formats._protocol import About
    from lawm_data.exchange.importing import Imported

Address = Annotated[
    str,
    typer.Argument(
        metavar="FORMAT:PLACE",
        help="Such as minari:walker/mixed-v0, see lawm-data formats; or hf://user/name.",
        show_default=False,
    ),
]


def import_(
    address: Address,
    out: Annotated[Path, typer.Argument(help="Folder of the corpus to write.", show_default=False)],
    fps: Annotated[
        float | None, typer.Option(help="Frames per second of videos; short for --set fps=….")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Edge of square pictures; short for --set size=….")
    ] = None,
    clip: Annotated[
        float | None, typer.Option(help="Cut videos into clips of so many seconds.")
    ] = None,
    crops: Annotated[
        int | None, typer.Option(help="Cut so many squares out of each video or clip.")
    ] = None,
    crop_size: Annotated[
        int | None, typer.Option(help="Edge of those squares, in pixels of the video.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Leave this array or camera out; may be given several times."),
    ] = None,
    settings: FormatSettings = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write a corpus from data in another format.

    Everything is checked and converted, nothing is guessed: what was not recorded stays missing.
    The corpus appears when it is complete.
    """
    from lawm_schemas.plain_yaml import load_setting

    from lawm_data.exchange.importing import import_corpus

    given = dict(map(load_setting, settings or []))
    given = _with_short(given, fps=fps, size=size, clip=clip, crops=crops, crop_size=crop_size)
    with show.Bars() as bars:
        progress = bars.of("import")
        made = import_corpus(address, out, given, progress, without=without or (), dry_run=dry_run)
    _show(made, json, dry_run=dry_run)


def export(
    corpus: Corpus,
    address: Address,
    mask: Annotated[
        str | None, typer.Option(help="Look through this mask; write no hidden action.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Take the inferred actions of this overlay along.")
    ] = None,
    latents: Latents = None,
    keep: Keep = None,
    settings: FormatSettings = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write a corpus in another format.

    Observed, withheld, missing and inferred actions stay apart. Without --mask the masks beside the
    corpus go along, where the format can hold them. What it cannot hold is named.
    """
    from lawm_schemas.plain_yaml import load_setting

    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.exchange.exporting import export_corpus

    given = dict(map(load_setting, settings or []))
    view = through(open_corpus(corpus), mask, keep)
    view = view if labels is None else view.with_labels(labels)
    view = view if latents is None else view.with_latents(latents)
    with show.Bars() as bars:
        told = bars.of("export")
        written = export_corpus(view, address, given, told, keep=keep or (), dry_run=dry_run)
    _show(written, json, mask=mask, labels=labels, latents=latents, dry_run=dry_run)


def formats(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table alone, for a document.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the formats, and what each can hold."""
    from lawm_data.exchange.formats import FORMATS

    members, faults = FORMATS.load_all()
    abouts = {name: member.ABOUT for name, member in members.items()}
    for fault in faults:
        show.line(f"warning: {fault}")
    if json:
        print_json({"formats": {name: about._asdict() for name, about in abouts.items()}})
        return
    columns, rows, shared = _differences(
        [_row(name, about, FORMATS.find(name).package) for name, about in abouts.items()]
    )
    same = f"The same for all: {'; '.join(shared)}."
    if markdown:
        for cells in (columns, ["---"] * len(columns), *rows):
            print(f"| {' | '.join(map(show.text, cells))} |")
        print(f"\n{same}")
        return
    show.grid(columns, rows)
    print(f"\n{same}")
    print()
    meanings: dict[tuple[str, str], list[str]] = {}
    for name, about in abouts.items():
        for setting in about.settings.items():
            meanings.setdefault(setting, []).append(name)
    show.grid(
        ["--set", "of", "what"],
        [[f"{key}=…", ", ".join(names), meaning] for (key, meaning), names in meanings.items()],
    )
    print("\nhf://user/name is the Hugging Face Hub: import is pull, export is push-to-hub.")


COLUMNS = (
    "address",
    "goes",
    "actions kept",
    "arrays",
    "alignment",
    "final observation",
    "ends",
    "pixels",
    "metadata",
    "streaming",
    "needs",
)


def _row(name: str, about: About, package: str | None) -> Sequence[Any]:
    states = [state.value for state in about.label_states]
    return [
        f"{name}:{about.place}",
        ", ".join(way for way, can in (("in", about.reads), ("out", about.writes)) if can),
        ", ".join([*states, *(["partial"] if about.partial else [])]),
        about.arrays,
        about.alignment,
        about.final_observation,
        about.ends,
        about.pixels,
        about.metadata,
        about.streaming,
        package or (about.extra and f"lawm[{about.extra}]"),
    ]


def _differences(
    rows: Sequence[Sequence[Any]],
) -> tuple[list[str], list[list[Any]], list[str]]:
    """The columns in which formats differ, their rows, and what is the same for all, as text."""
    alike = [len(set(cells)) == 1 for cells in zip(*rows, strict=True)]
    shared = [
        f"{name} {show.text(cell)}"
        for name, cell, same in zip(COLUMNS, rows[0], alike, strict=True)
        if same
    ]
    keep = [place for place, same in enumerate(alike) if not same]
    columns, *kept = [[cells[place] for place in keep] for cells in (COLUMNS, *rows)]
    return columns, kept, shared


def _with_short(settings: Mapping[str, Any], **short: float | None) -> dict[str, Any]:
    """Settings, and those that have options of their own."""
    given = dict(settings)
    for key, value in short.items():
        if value is not None and key in settings:
            option = f"--{key.replace('_', '-')}"
            raise ConfigError("is given twice", option, f"leave --set {key}=… out")
        if value is not None:
            given[key] = int(value) if value == value // 1 else value  # fps=15 is a whole number
    return given


def _show(outcome: Imported | Exported, json: bool, **options: Any) -> None:
    result = {**outcome._asdict(), **options}
    result["said"] = result.pop("notes")  # the key that programs know
    if json:
        print_json(result)
        return
    rows = {key: value for key, value in result.items() if value}
    dry_run, notes = rows.pop("dry_run", False), rows.pop("said", ())
    show.facts(rows, title="nothing is written (--dry-run)" if dry_run else None)
    for note in notes:
        print(f"note: {note}")


def register(app: typer.Typer) -> None:
    """Add these commands to a program."""
    app.command(
        "import",
        epilog=example(
            "lawm-data import minari:walker/mixed-v0 corpora/walker",
            "lawm-data import minari:D4RL/door/human-v2 corpora/door --dry-run",
            "lawm-data import video:films corpora/films --fps 15 --size 64",
            "lawm-data import zarr:pusht_cchi_v7_replay.zarr corpora/pusht",
            "lawm-data import hf://user/name corpora/name",
        ),
    )(import_)
    app.command(
        epilog=example(
            "lawm-data export corpora/cs minari:cartpole/mixed-v0",
            "lawm-data export corpora/cs minari:cartpole/5pct-v0 --mask 5pct",
            "lawm-data export corpora/cs hf://user/name",
        )
    )(export)
    app.command(epilog=example("lawm-data formats", "lawm-data formats --json"))(formats)


Repo = Annotated[
    str, typer.Argument(metavar="USER/NAME", help="Dataset repository.", show_default=False)
]


def push_to_hub(
    corpus: Corpus,
    repo: Repo,
    mask: Annotated[
        str | None, typer.Option(help="Look through this mask; publish no action that it hides.")
    ] = None,
    latents: Latents = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
    keep_withheld: Annotated[
        bool,
        typer.Option("--keep-withheld", help="Publish the hidden actions too, and the mask."),
    ] = False,
    keep: Keep = None,
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

    view = through(open_corpus(corpus), mask, keep)
    view = view if latents is None else view.with_latents(latents)
    with show.Bars() as bars:
        pushed = push(
            view,
            repo,
            private=private,
            keep_withheld=keep_withheld,
            keep=keep or (),
            licence=licence,
            progress=bars.of("push"),
            dry_run=dry_run,
            revision_of=revision_of,
        )
    if pushed.licence is None:
        show.line("warning: the card names no licence, so nobody may use it; give --licence")
    result = pushed._asdict()
    print_json(result) if json else _show_hub(result, "nothing is published (--dry-run)")


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
    print_json(result) if json else _show_hub(result, "nothing is fetched (--dry-run)")


def _show_hub(result: dict[str, Any], nothing: str) -> None:
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


def register_hub(app: typer.Typer) -> None:
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
