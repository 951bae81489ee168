"""``lawm``: train, evaluate, relabel, probe, demo, audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from lawm_schemas import ConfigError

from lawm_cli import benchmark, comparing, errors, planning, probing, ranking, report, runs
from lawm_cli.options import (
    HELP,
    DryRun,
    Json,
    Planner,
    PlannerSettings,
    Replace,
    Run,
    Seed,
    Settings,
    Version,
    Withheld,
    choosing,
    example,
    offer_algorithms,
    offer_presets,
)
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

if TYPE_CHECKING:
    from lawm_data.system.registry import Registry

Method = Literal["inverse", "smoothing"]
"""See ``lawm_models.runs.relabel.relabel``."""

app = typer.Typer(
    help="Train on corpora in which some trajectories have no actions, and infer these actions."
    " Corpora are made and looked after with lawm-data.",
    epilog=example(
        "lawm demo",
        "lawm train --corpus corpora/cs --mask 5pct --preset small --out runs/a",
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
    from lawm_models.algorithms import ALGORITHMS
    from lawm_models.training.presets import PRESETS

    return {"Algorithms": ALGORITHMS, "Presets": PRESETS}


@app.command(
    cls=choosing(_choices),
    epilog=example(
        "lawm train --corpus corpora/cs --mask 5pct --preset small --out runs/a",
        "lawm train --corpus corpora/cs@5pct --corpus corpora/other*0.5 --out runs/b",
        "lawm train --corpus corpora/cs@5pct --seeds 0,1,2 --out runs/b",
        "lawm train --corpus corpora/cs@5pct+lawm --algorithm rebrac --out runs/r",
        "lawm train runs/a/config.yaml --set seed=1 --out runs/a-1",
        "lawm train --from runs/a --set algorithm.settings.support=1 --out runs/c",
    ),
)
def train(
    out: Annotated[Path, typer.Option(help="Run folder to write, or to go on with.")],
    config: Annotated[
        Path | None,
        typer.Argument(help="A YAML file with the whole configuration, instead of a preset."),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH[@MASK][+LABELS][*WEIGHT]",
            help="Corpus, a folder or hf://user/name@REVISION; may be given several times.",
        ),
    ] = None,
    mask: Annotated[str | None, typer.Option(help="Mask of the one corpus.")] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Inferred actions of the one corpus (lawm relabel), taken for observed ones."
        ),
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(help="One of those below; lawm by default.", autocompletion=offer_algorithms),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="One of those below, or a YAML file; small by default.",
            autocompletion=offer_presets,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of all randomness; 0 by default.")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="S,S,…",
            help="In place of --seed: train OUT-S for each, at once where the algorithm can.",
        ),
    ] = None,
    settings: Settings = None,
    begin_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Begin with the stages of this run that are the same, such as its world model; "
            "without --corpus, its configuration. cola may begin with a run of acwm or lam.",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu (the default), cuda or cuda:N.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; 1 by default.")] = None,
    json: Json = False,
) -> None:
    """Train on one or more corpora.

    The same command again goes on where the run was stopped, or returns at once when it is done.
    """
    from lawm_cli import experiment
    from lawm_models.collection.seeds import parse
    from lawm_models.runs.run import train as run_training
    from lawm_models.runs.run import train_seeds
    from lawm_models.training import processes

    several = None if seeds is None else parse(seeds)
    if several and (begin_from is not None or seed is not None):
        other = "--seed" if begin_from is None else "--from"
        raise ConfigError("do not go together", f"--seeds and {other}", "give one of them")

    named = config
    if begin_from is not None and config is None and not corpus:
        named, config = begin_from, experiment.config_of(out, begin_from)
    if config is not None:
        if corpus or mask or labels or algorithm or preset:
            raise ConfigError(
                "does not go with --corpus, --mask, --labels, --algorithm and --preset",
                str(named),
                "use --set to change what it says",
            )
        changes = experiment.changes(settings, seed=seed, device=device, threads=threads)
        asked = experiment.from_file(config, changes)
    elif corpus:
        changes = experiment.changes(settings, device=device, threads=threads)
        asked = experiment.from_options(
            *(corpus, mask, labels),
            *(algorithm or "lawm", preset or "small", seed or 0, changes),
        )
    else:
        raise ConfigError("no data", "lawm train", "give --corpus, --from or a YAML file")
    with show.Bars() as bars:
        asked = experiment.fetched(asked, bars)
        if several:
            made = [experiment.outcome(r) for r in train_seeds(asked, several, out, progress=bars)]
            print_json({"runs": made}) if json else report.runs(made)
            return
        trained = run_training(asked, out, progress=bars, begin_from=begin_from)
    if not processes.is_first():
        return
    result = experiment.outcome(trained)
    print_json(result) if json else report.run(result, trained.unevaluated)


@app.command(
    cls=choosing(planning.choices),
    epilog=example(
        "lawm evaluate runs/a --episodes 10 --video runs/a.mp4 --json",
        "lawm evaluate runs/a --env gym:Pendulum-v1",
        "lawm evaluate runs/a --planner cem --set horizon=12 --set samples=256",
    ),
)
def evaluate(
    run: Run,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes.")] = 10,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the first episode's reset.")
    ] = 0,
    env: Annotated[
        str | None,
        typer.Option(
            help="Where: a task of dm_control, or gym:ID; by default where the corpus is from."
        ),
    ] = None,
    action_repeat: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Control steps for each action; by default those of the corpus, or 2 (gym: 1).",
        ),
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="Film the first episode: FILE.mp4 or FILE.gif.")
    ] = None,
    planner: Planner = None,
    settings: PlannerSettings = None,
    json: Json = False,
) -> None:
    """Measure the policy of a run in its environment.

    It acts without noise. Episode i is reset with the seed plus i.
    """
    from lawm_schemas.plain_yaml import load_setting

    from lawm_models.runs.run import load_run

    found = load_run(run).evaluate(
        episodes,
        seed=seed,
        env=env,
        action_repeat=action_repeat,
        video=video,
        planner=planner,
        settings=dict(map(load_setting, settings)) if settings else None,
    )
    evaluation = found.model_dump(mode="json")
    result = {"run": run, **evaluation, "video": video}
    if json:
        print_json(result)
    else:
        report.evaluation(result)


app.command(cls=choosing(planning.choices), epilog=planning.EPILOG)(planning.plan)
app.command(epilog=ranking.EPILOG)(ranking.rank)


@app.command(
    epilog=example(
        "lawm relabel runs/a --corpus corpora/cs --name lawm-a",
        "lawm relabel runs/a --corpus corpora/cs --name sure --max-uncertainty 0.2",
        "lawm relabel runs/a --corpus corpora/cs --name lawm-b --truth-from-withheld",
        "lawm relabel runs/a --corpus corpora/cs --name smooth --method smoothing",
        "lawm relabel runs/lam --corpus corpora/cs --name z --latents",
    )
)
def relabel(
    run: Run,
    corpus: Annotated[Path, typer.Option(help="Folder of the corpus to relabel.")],
    name: Annotated[str, typer.Option(help="Name of the overlay: what is inferred, under a name.")],
    method: Annotated[
        Method, typer.Option(help="How: by the inverse model, or weighed by the world model.")
    ] = "inverse",
    max_uncertainty: Annotated[
        float | None,
        typer.Option(
            min=0, help="Leave out trajectories that are less certain (1 is half the range)."
        ),
    ] = None,
    truth_from_withheld: Withheld = False,
    latents: Annotated[
        bool, typer.Option("--latents", help="Infer latent actions, of every transition.")
    ] = False,
    replace: Replace = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Infer the actions that a run could not see.

    They are written beside the corpus, under a name: an overlay. With --truth-from-withheld they
    are also compared with the actions that a mask hides; what is found is printed and not written.
    With --latents the latent actions of a run of lam, lawm or a relative are written instead, which
    are no labels, for export and push-to-hub (--latents NAME).
    """
    from lawm_models.runs.run import load_run

    if latents:
        options = {
            "--method": method != "inverse",
            "--max-uncertainty": max_uncertainty is not None,
            "--truth-from-withheld": truth_from_withheld,
        }
        for option in (name for name, given in options.items() if given):
            raise ConfigError("is of inferred actions", option, "leave it out with --latents")
        made = load_run(run).infer_latents(corpus, name=name, replace=replace, dry_run=dry_run)
        result = {"run": run, "corpus": corpus, **made}
        of_actions = ("left_out", "uncertainty", "method", "nmse_per_dimension", "r2")
        print_json(dict.fromkeys(of_actions) | result) if json else report.latents(result)
        return
    found = load_run(run).relabel(
        corpus,
        name=name,
        method=method,
        max_uncertainty=max_uncertainty,
        replace=replace,
        dry_run=dry_run,
        truth_from_withheld=truth_from_withheld,
    )
    result = {"run": run, "corpus": corpus, **found}
    of_latents = ("width", "codes", "transitions")
    if json:
        print_json(dict.fromkeys(of_latents) | result)
    else:
        report.labels(result, truth_from_withheld)


app.command(epilog=runs.RUNS)(runs.runs)
app.command(epilog=runs.SETTINGS)(runs.settings)
app.command("export-policy", epilog=runs.EXPORT)(runs.export_policy)
app.command("compare-labels", epilog=comparing.EPILOG)(comparing.compare)
app.command(epilog=comparing.AUDIT)(comparing.audit)
app.command(cls=choosing(probing.choices), epilog=probing.EPILOG)(probing.probe)
app.command(cls=choosing(benchmark.choices), epilog=benchmark.EPILOG)(benchmark.benchmark)
app.command(epilog=benchmark.TABLE)(benchmark.table)


@app.command(
    epilog=example("lawm demo --out runs/demo", "lawm demo --pixels --out runs/demo-pixels")
)
def demo(
    out: Annotated[Path, typer.Option(help="Folder for corpus, run and picture.")] = Path(
        "runs/demo"
    ),
    seed: Seed = 0,
    settings: Settings = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Draw the corpus, and learn from features of pixels.")
    ] = False,
    json: Json = False,
) -> None:
    """Do the whole job on the corpus in the package.

    Takes five minutes on a CPU core. Hides the actions of 95% of the trajectories, trains LAWM on
    the mix, evaluates the policy, infers the hidden actions, and draws both. With --pixels, which
    takes ten minutes, everything is learned from pictures of the corpus, and a dream of the world
    model is drawn, too. The same command again goes on where it was stopped.
    """
    from lawm_cli.demo import Pixels, run_demo

    with show.Bars() as bars:
        result = run_demo(out, seed, settings or [], bars, Pixels() if pixels else None)
    print_json(result) if json else report.demo(result)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``lawm`` and return its exit code."""
    return errors.run(app, "lawm", arguments)
