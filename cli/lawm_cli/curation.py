"""``lawm-data filter``, ``edit``, ``rerender``, ``merge``, ``split``, ``delete``, ``tier``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lawm_cli import inspection
from lawm_cli.options import (
    Corpora,
    Corpus,
    DistractorList,
    Draw,
    DryRun,
    Json,
    Keep,
    Out,
    Seed,
    example,
    through,
)
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

if TYPE_CHECKING:
    from lawm_data.curation.derive import Derived

Where = Annotated[
    str,
    typer.Argument(
        metavar="EXPRESSION",
        help="Which trajectories, such as \"return >= 300 and source == 'dreamer'\".",
        show_default=False,
    ),
]


def filter(
    corpus: Corpus,
    where: Where,
    out: Out,
    mask: Annotated[
        str | None, typer.Option(help="Look through this mask; write no hidden action.")
    ] = None,
    keep: Keep = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write the trajectories that an expression is true of.

    Names: id, position, length, return, labels, actions, num_observed, terminated, truncated,
    agent_step, seed, source, agent, origin, tier, run_seed, and keys of the metadata, as in
    "'train' in filter_keys". With < <= == != >= >, in, and, or, not, None.
    Masks and overlays come along, restricted to what is kept.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.curation.derive import filter_corpus

    view = through(open_corpus(corpus), mask, keep)
    derived = filter_corpus(view, where, out, keep=keep or (), dry_run=dry_run)
    _show({**document(derived, dry_run), "of": len(view)}, json)


def delete(
    corpus: Corpus,
    out: Out,
    where: Annotated[
        str | None, typer.Option(metavar="EXPRESSION", help="Leave those out that it is true of.")
    ] = None,
    trajectory: Annotated[
        list[str] | None,
        typer.Option(
            "--id", metavar="ID", help="Leave this trajectory out; may be given several times."
        ),
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write a corpus without some of its trajectories.

    The corpus itself stays as it is. Expressions are those of filter.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.curation.derive import delete_trajectories

    view = open_corpus(corpus)
    derived = delete_trajectories(view, out, where=where, ids=trajectory or (), dry_run=dry_run)
    _show({**document(derived, dry_run), "of": len(view)}, json)


def edit(
    corpus: Corpus,
    out: Out,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change env, action_repeat, fps or licence."
        ),
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="Give an array another name.")
    ] = None,
    bounds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LOW:HIGH",
            help="Bounds of an array: a number, or one for each element with commas; or none.",
        ),
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TYPE", help="Store an array in another type."),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Leave an array out.")
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME,…", help="Keep these observations, in this order."),
    ] = None,
    missing_where: Annotated[
        str | None,
        typer.Option(
            metavar="EXPRESSION",
            help="These trajectories have no actions: what is stored as such is thrown away.",
        ),
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write a corpus that is described in another way.

    Of names, types, bounds and the environment what is asked for is changed, everything else is
    kept, and the corpus itself stays as it is. Actions that were lost and stored as zeros become
    missing by --missing-where "actions == 'zero'". Expressions are those of filter.
    """
    from lawm_schemas.plain_yaml import load_setting

    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.curation.edit import edit_corpus, parse_bounds, parse_pairs

    view = open_corpus(corpus)
    derived = edit_corpus(
        view,
        out,
        settings=dict(map(load_setting, settings or [])),
        rename=parse_pairs("--rename", rename or []),
        bounds=parse_bounds(bounds or []),
        dtype=parse_pairs("--dtype", dtype or []),
        drop=drop or (),
        fields=None if fields is None else fields.split(","),
        missing_where=missing_where,
        dry_run=dry_run,
    )
    _show({**document(derived, dry_run), "of": len(view)}, json)


def rerender(
    corpus: Corpus,
    size: Annotated[
        int, typer.Option(min=8, max=4096, help="Edge of the square pictures, in pixels.")
    ],
    out: Out,
    camera: inspection.Camera = None,
    draw: Draw = None,
    distractors: DistractorList = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the distractors.")] = 0,
    mask: Annotated[
        str | None, typer.Option(help="Look through this mask; write no hidden action.")
    ] = None,
    keep: Keep = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw at once.")] = 1,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write a corpus with pictures, drawn from the recorded states of the simulator.

    Of the same trajectories, with everything else that is known of them; masks and overlays come
    along. Where no states were recorded the actions are replayed, if they lead to exactly what was
    observed. Started again after it was killed, the same command goes on where it was.
    """
    from lawm_schemas import ConfigError

    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.curation.rerender import drawing_of, rerender_corpus
    from lawm_data.envs.renderer import choose_renderer
    from lawm_data.system.workers import executor

    if seed and not distractors:
        raise ConfigError("goes with --distractors", "--seed", "give both")
    view = through(open_corpus(corpus), mask, keep)
    drawing = drawing_of(view, draw, inspection.lens(camera), distractors or (), seed)
    choose_renderer()
    with show.Bars() as bars:
        derived = rerender_corpus(
            view,
            out,
            size=size,
            drawing=drawing,
            execute=executor() if workers > 1 else None,
            workers=workers,
            keep=keep or (),
            dry_run=dry_run,
            progress=bars.of("drawing"),
        )
    how = str(drawing or "suite")
    _show({**document(derived, dry_run), "of": len(view), "size": size, "drawing": how}, json)


def merge(
    corpora: Corpora,
    out: Out,
    common: Annotated[
        bool,
        typer.Option("--common", help="Keep the arrays that all have; what is left out is said."),
    ] = False,
    size: Annotated[
        int | None, typer.Option(help="With --common: edge of square pictures to bring all to.")
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Put the trajectories of several corpora into one.

    They must hold the same arrays, unless --common keeps those that they share: labeled states and
    pixels with videos, say, whose actions are missing. What several of them have is taken once.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.curation.derive import merge_corpora

    views = [open_corpus(path) for path in corpora]
    derived = merge_corpora(views, out, common=common, size=size, dry_run=dry_run)
    _show({**document(derived, dry_run), "of": sum(map(len, views))}, json)


def split(
    corpus: Corpus,
    parts: Annotated[
        list[str],
        typer.Argument(metavar="NAME=SHARE", help="Parts and their shares of the whole."),
    ],
    out: Annotated[Path, typer.Option(help="Folder in which the parts are written.")],
    seed: Seed = 0,
    by: Annotated[
        Literal["trajectory", "source", "agent", "seed"],
        typer.Option(help="What stays in one part: all of a source, agent, or run's seed."),
    ] = "trajectory",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Divide a corpus into named parts.

    Trajectories of equal observations and rewards stay together. With one seed the first part with
    a smaller share is a subset of the first with a larger one.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.curation.split import parse_shares, split_corpus

    view = open_corpus(corpus)
    derived = split_corpus(view, parse_shares(parts), out, seed=seed, by=by, dry_run=dry_run)
    result = {
        "parts": {name: document(part, dry_run) for name, part in derived.items()},
        "of": len(view),
        "rest": len(view) - sum(part.trajectories for part in derived.values()),
        "seed": seed,
        "by": by,
        "dry_run": dry_run,
    }
    if json:
        print_json(result)
        return
    columns = ("trajectories", "steps", "masks", "overlays", "left")
    rows = [[part["path"], *map(part.get, columns)] for part in result["parts"].values()]
    show.grid([title(dry_run), *columns], rows)


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
    from lawm_models.studies.recipes.step import warn

    band = None if returns is None else parse_band(returns)
    views = [open_corpus(path) for path in corpora]
    tiered = write_tier(views, tier, trajectories, out, returns=band, seed=seed, dry_run=dry_run)
    warn(tiered)
    result = {
        **document(tiered.derived, dry_run),
        "tier": tiered.tier,
        "returns": list(tiered.returns),
        "wanted": tiered.wanted,
        "missing": tiered.missing,
        "corpora": [share._asdict() for share in tiered.shares],
    }
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
    for note in result["said"]:
        print(f"note: {note}")


def document(derived: Derived, dry_run: bool) -> dict[str, Any]:
    """A derived corpus as ``--json`` prints it."""
    return {**derived._asdict(), "dry_run": dry_run}


def _show(result: Mapping[str, Any], json: bool) -> None:
    if json:
        print_json(result)
        return
    rows = {key: value for key, value in result.items() if value or key in ("trajectories",)}
    dry_run = rows.pop("dry_run", False)
    left, said = rows.pop("left", ()), rows.pop("said", ())
    show.facts(rows, title=title(dry_run))
    for reason in left:
        print(f"left behind: {reason}")
    for note in said:
        print(f"note: {note}")


def title(dry_run: bool) -> str:
    """The heading of a result: empty, or that nothing was written."""
    return "nothing is written (--dry-run)" if dry_run else ""


def register(app: typer.Typer) -> None:
    """Add these commands to a program."""
    corpus = "corpora/cs"
    app.command(epilog=example(f'lawm-data filter {corpus} "return >= 300" --out corpora/good'))(
        filter
    )
    app.command(
        epilog=example(
            "lawm-data edit arm --set env=walker-walk --bounds action=-1:1 --out a",
            "lawm-data edit arm --rename qpos=joints --dtype qpos=float32 --out b",
            f"lawm-data edit {corpus} --missing-where \"actions == 'zero'\" --out c",
        )
    )(edit)
    app.command(
        epilog=example(
            f"lawm-data rerender {corpus} --size 64 --out corpora/cs-pixels",
            f"lawm-data rerender {corpus} --size 84 --camera 1 --draw shadows --out a",
        )
    )(rerender)
    app.command(
        epilog=example(
            "lawm-data merge corpora/a corpora/b --out corpora/both",
            "lawm-data merge corpora/robot corpora/films --common --out corpora/mixed",
        )
    )(merge)
    app.command(
        epilog=example(f"lawm-data split {corpus} train=0.9 validation=0.1 --out corpora/cs-split")
    )(split)
    app.command(
        epilog=example(f'lawm-data delete {corpus} --where "length < 250" --out corpora/whole')
    )(delete)
    app.command(
        epilog=example(
            "lawm-data tier corpora/ww-0 corpora/ww-1 --tier medium \\",
            "    --trajectories 800 --out corpora/ww-medium",
        )
    )(tier)
