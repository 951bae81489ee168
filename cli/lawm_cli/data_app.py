"""``lawm-data``: what is done with corpora. Imports torch only where a network is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from lawm_schemas import ConfigError, CorpusError

from lawm_cli import build, curation, errors, exchanging, features, inspection, report
from lawm_cli.options import (
    HELP,
    Corpus,
    DistractorList,
    Draw,
    Json,
    Keep,
    Labels,
    Mask,
    Planner,
    PlannerSettings,
    Replace,
    Seed,
    Version,
    choosing,
    example,
)
from lawm_cli.output import print_json

if TYPE_CHECKING:
    from lawm_data.system.registry import Registry

app = typer.Typer(
    help="Collect, import, inspect, mask, curate, repair and publish corpora of trajectories.",
    epilog=example(
        "lawm-data collect --env cartpole-swingup --agent random --out corpora/cs",
        "lawm-data info corpora/cs",
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)


@app.callback()
def _program(version: Version = False) -> None:
    pass


def _choices() -> Mapping[str, Registry[Any]]:
    from lawm_data.envs.suites import SUITES
    from lawm_data.system.workers import BACKENDS
    from lawm_models.collection.agents import AGENTS
    from lawm_models.planning.planners import PLANNERS

    return {"Suites": SUITES, "Agents": AGENTS, "Planners": PLANNERS, "Backends": BACKENDS}


@app.command(
    cls=choosing(_choices),
    epilog=example(
        "lawm-data collect --env cartpole-swingup --agent dreamer \\",
        "    --trajectories 200 --seed 0 --out corpora/cs",
        "lawm-data collect --env walker-walk --agent runs/a --noise --out corpora/ww",
        "lawm-data collect --env gym:Pendulum-v1 --out corpora/pendulum",
        "lawm-data collect --env walker-walk --agent dreamer --seeds 0,1 --out ww",
        "lawm-data collect --env walker-walk --agent ww-0.agent@snapshots \\",
        "    --trajectories 2000 --out ww-snapshots",
    ),
)
def collect(
    env: Annotated[
        str,
        typer.Option(
            metavar="[SUITE:]TASK", help="Environment; of dm_control if no suite is named."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the corpus to write.")],
    agent: Annotated[
        str,
        typer.Option(
            help="What acts: random, one of those below, the folder of a run or of a collecting"
            " agent, or AGENT@snapshots."
        ),
    ] = "random",
    trajectories: Annotated[
        int,
        typer.Option(min=1, help="Size of the corpus when done; with --append, how many to add."),
    ] = 200,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of all randomness; 0 by default.")
    ] = None,
    action_repeat: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Control steps per recorded step; by default that of the run, or the suite's.",
        ),
    ] = None,
    pixels: Annotated[
        int | None,
        typer.Option(min=8, help="Record camera images too, this many pixels wide and high."),
    ] = None,
    draw: Draw = None,
    distractors: DistractorList = None,
    observe: Annotated[
        str | None,
        typer.Option(help="What a learning agent learns from: state, pixels or pixels+state."),
    ] = None,
    physics: Annotated[
        bool,
        typer.Option(
            "--physics/--no-physics", help="Record the simulator's state, for pictures and replay."
        ),
    ] = True,
    num_envs: Annotated[
        int | None,
        typer.Option(min=1, help="Environments stepped together; by default 1, for snapshots 16."),
    ] = None,
    noise: Annotated[
        bool | None,
        typer.Option(
            "--noise/--deterministic",
            help="Sample a policy, or take its mode; by default the mode, but snapshots sample.",
        ),
    ] = None,
    planner: Planner = None,
    settings: PlannerSettings = None,
    append: Annotated[bool, typer.Option("--append", help="Add to a corpus that exists.")] = False,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="S,S,…", help="In place of --seed: collect OUT-S for each, several at once."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Workers at once; by default one per core for snapshots and --seeds, else 1.",
        ),
    ] = None,
    backend: Annotated[str, typer.Option(help="Where workers run, see below.")] = "processes",
    json: Json = False,
) -> None:
    """Record trajectories of an environment.

    Of an agent that learns while it collects, every trajectory of its training is kept. Started
    again after it was killed, the same command goes on where it was.

    AGENT@snapshots lets the policies that a learning agent kept along its training act, each for
    an equal share of the trajectories; AGENT@snapshots:LOW:HIGH those of rounds LOW to HIGH.
    """
    from lawm_schemas.plain_yaml import load_setting

    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.envs.distractors import parse as parse_distractors
    from lawm_data.envs.renderer import choose_renderer
    from lawm_data.inspection.summary import summarize
    from lawm_data.system.terminal import Bars
    from lawm_models.collection.seeds import collect_seeds, parse, table
    from lawm_models.collection.session import Collection, outcome
    from lawm_models.collection.session import collect as collect_one

    several = None if seeds is None else parse(seeds)
    if several and seed is not None:
        raise ConfigError("do not go together", "--seeds and --seed", "give one of them")
    if pixels is not None:
        choose_renderer()
    collection = Collection(
        agent=agent,
        task=env,
        out=out,
        trajectories=trajectories,
        seed=seed or 0,
        action_repeat=action_repeat,
        pixels=pixels,
        num_envs=num_envs,
        noise=noise,
        append=append,
        workers=workers,
        backend=backend,
        physics=physics,
        draw=draw,
        distractors=parse_distractors(distractors or ()),
        planner=planner,
        planner_settings=dict(map(load_setting, settings or ())),
        observe=observe,
    )
    if several is not None:
        made = collect_seeds(collection, several)
        results = [outcome(summarize(open_corpus(one.out)), agent, one.seed) for one in made]
        print_json({"corpora": results}) if json else table(results)
        return
    with Bars() as bars:
        collect_one(collection, bars)
    summary = summarize(open_corpus(out))
    print_json(outcome(summary, agent, collection.seed)) if json else report.corpus(summary)


@app.command(
    epilog=example(
        "lawm-data info corpora/cs", "lawm-data info corpora/cs --mask 5pct --stats --json"
    )
)
def info(
    corpus: Corpus,
    mask: Mask = None,
    labels: Labels = None,
    stats: Annotated[
        bool,
        typer.Option("--stats", help="Read the arrays too: ranges, bounds, duplicates."),
    ] = False,
    json: Json = False,
) -> None:
    """Show what is in a corpus.

    Also what writers that were killed have left in it, or beside it.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.inspection.summary import summarize
    from lawm_data.system.output import abandoned
    from lawm_data.system.parts import parts_folder

    left, parts = abandoned(corpus.absolute()), parts_folder(corpus.absolute())
    if parts.is_dir() and not corpus.exists():
        what = f"is not there; a command that was killed left {parts.name} of it"
        raise CorpusError(what, str(corpus), "run that command again: it goes on")
    if left and not corpus.exists():
        what = f"is not there; a command that was killed left {left[0].name} of it"
        raise CorpusError(what, str(corpus), "run that command again: it starts anew")
    view = open_corpus(corpus)
    view = view if mask is None else view.with_mask(mask)
    view = view if labels is None else view.with_labels(labels)
    result = summarize(view, stats)
    print_json(result) if json else report.corpus(result)


@app.command(
    epilog=example(
        "lawm-data mask corpora/cs --fraction 0.05 --seed 0 --name 5pct",
        "lawm-data mask corpora/cs --fraction 0.05 --name 5pct \\",
        "    --withhold corpora/cs-5pct",
        "lawm-data mask corpora/lift --where \"'train' in filter_keys\" --name train",
    )
)
def mask(
    corpus: Corpus,
    name: Annotated[str, typer.Option(help="Name of the mask.")],
    fraction: Annotated[
        float | None, typer.Option(help="Share that keeps its actions: above 0, at most 1.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="EXPRESSION",
            help="Or: those keep theirs that this is true of, see filter.",
        ),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Or: those whose ids stand in this file, one a line."),
    ] = None,
    seed: Seed = 0,
    by: Annotated[
        Literal["trajectories", "steps"], typer.Option(help="What the fraction counts.")
    ] = "trajectories",
    stratify: Annotated[
        Literal["return", "source"] | None,
        typer.Option(help="Give each tenth of the returns, or each source, its share."),
    ] = None,
    withhold: Annotated[
        Path | None,
        typer.Option(help="Write a corpus here in which the hidden actions do not exist."),
    ] = None,
    keep: Keep = None,
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Hide the actions of most trajectories.

    All but a fraction of them are hidden, under a name. Nothing is copied or deleted: a mask is a
    small file beside the shards. With one seed, smaller fractions are subsets of larger ones.
    Instead of a fraction, --where or --ids say which trajectories keep their actions.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.corpus.mask import make_mask, save_mask

    whole = open_corpus(corpus)
    if keep and withhold is None:
        raise ConfigError("goes with --withhold", "--keep", "give both")
    left: tuple[str, ...] = ()
    if [fraction, where, ids].count(None) != 2:
        raise ConfigError("give exactly one of --fraction, --where and --ids", "mask")
    if fraction is None and (seed or stratify or by != "trajectories"):
        raise ConfigError("go with --fraction", "--seed, --by and --stratify", "leave them out")
    if where is not None:
        from lawm_data.curation.choose import mask_where

        made = mask_where(whole, where, name)
    elif ids is not None:
        from lawm_data.curation.choose import mask_by_ids

        made = mask_by_ids(whole, ids, name)
    else:
        assert fraction is not None
        made = make_mask(whole, fraction, seed, name, by, stratify)
    if withhold is not None:
        from lawm_data.curation.action_clues import without_clues
        from lawm_data.system.output import require_free

        require_free(withhold)
        left = without_clues(whole.with_mask(made), keep or ()).left
    path = save_mask(whole, made, replace)
    if withhold is not None:
        from lawm_data.curation.derive import withhold as write_withheld

        write_withheld(whole.with_mask(made), withhold, keep=keep or ())
    result = {
        "name": name,
        "labeled": len(made.labeled),
        "trajectories": len(whole),
        "path": path,
        "fraction": made.fraction,
        "seed": seed,
        "by": by,
        "stratify": stratify,
        "where": made.where,
        "withheld": withhold,
        "left": left,
    }
    print_json(result) if json else report.mask(result, corpus)


# in the order of use: this is the order on the help screen
app.command(cls=choosing(features.choices), epilog=features.EPILOG)(features.features)
app.command("report", epilog=inspection.REPORT)(inspection.report_page)
app.command(epilog=inspection.EPILOG)(inspection.render)
exchanging.register(app)
curation.register(app)
build.register(app)
app.command(epilog=inspection.VALIDATE)(inspection.validate)
app.command(epilog=inspection.REPAIR)(inspection.repair)
exchanging.register_hub(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``lawm-data`` and return its exit code."""
    return errors.run(app, "lawm-data", arguments)
