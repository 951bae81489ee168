"""``lawm plan``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from lawm_schemas import ConfigError

from lawm_cli.options import Json, PlannerSettings, example, offer_planners
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

if TYPE_CHECKING:
    from lawm_data.system.registry import Registry

EPILOG = example(
    "lawm plan runs/a --corpus corpora/test --goals 100 --json > row.json",
    "lawm plan runs/a --closed-loop --planner icem --film goals.mp4",
    "lawm plan corpora/cs.agent --horizon 12 --set samples=256",
    "lawm plan --again row.json",
)
GOALS, HORIZON = 100, 6


def choices() -> Mapping[str, Registry[Any]]:
    """What the help screen lists."""
    from lawm_models.planning.planners import PLANNERS

    return {"Planners": PLANNERS}


def plan(
    run: Annotated[
        Path | None,
        typer.Argument(help="Run folder, or that of a collecting agent.", show_default=False),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Corpus that goals are drawn from, with recorded physics; by default that of the"
            " run. Trajectories that it was not trained on are taken, if there are some."
        ),
    ] = None,
    goals: Annotated[int | None, typer.Option(help=f"Goals; {GOALS} by default.")] = None,
    horizon: Annotated[
        int | None,
        typer.Option(help=f"Steps between start and goal, and of a plan; {HORIZON} by default."),
    ] = None,
    closed_loop: Annotated[
        bool, typer.Option("--closed-loop", help="Look again and plan the rest at every step.")
    ] = False,
    planner: Annotated[
        str | None,
        typer.Option(help="One of those below; cem by default.", autocompletion=offer_planners),
    ] = None,
    settings: PlannerSettings = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of goals, planner and random actions; 0 by default."),
    ] = None,
    film: Annotated[
        Path | None,
        typer.Option(help="Film the first goals, each beside its goal: FILE.mp4 or FILE.gif."),
    ] = None,
    again: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Repeat what --json once printed, from that alone."),
    ] = None,
    json: Json = False,
) -> None:
    """Plan towards observations of recorded trajectories.

    A goal is what a trajectory observed some steps later. The simulator is put into the recorded
    state, the planner searches the world model, and its actions are acted out. Printed is how near
    they came: the root mean square of the difference in the state, in units of its standard
    deviations over the corpus, beside that of no action and of random ones.
    """
    from lawm_schemas.plain_yaml import load_setting

    from lawm_data.envs.renderer import choose_renderer
    from lawm_models.collection.reaching import reach_again, reach_goals

    if film is not None:
        choose_renderer()
    given = {
        "RUN": run,
        "--corpus": corpus,
        "--goals": goals,
        "--horizon": horizon,
        "--closed-loop": closed_loop or None,
        "--planner": planner,
        "--set": settings,
        "--seed": seed,
    }
    with show.Bars() as bars:
        progress = bars.of("goals")
        if again is not None:
            for name, value in given.items():
                if value is not None:
                    raise ConfigError("does not go with --again", name, "leave one out")
            result = reach_again(again, film, progress)
        else:
            if run is None:
                raise ConfigError("no world model", "lawm plan", "give a run, or --again FILE")
            result = reach_goals(
                run,
                corpus,
                goals=GOALS if goals is None else goals,
                horizon=HORIZON if horizon is None else horizon,
                closed_loop=closed_loop,
                planner=planner or "cem",
                settings=dict(map(load_setting, settings or ())),
                seed=seed or 0,
                film=film,
                progress=progress,
            )
    print_json(result) if json else _show(result)


def _show(result: Mapping[str, Any]) -> None:
    """What was found, as a table for people."""
    names = {"start": "at the start", "plan": "plan", "no_action": "no action", "random": "random"}
    rows = [
        (text, result["distance"][name]["mean"], result["distance"][name]["median"])
        for name, text in names.items()
    ]
    loop = "closed" if result["closed_loop"] else "open"
    title = (
        f"{result['run']}: {result['goals']} goals {result['horizon']} steps ahead, "
        f"{result['planner']['name']} in {result['planner']['space']}, {loop} loop"
    )
    show.grid(("distance", "mean", "median"), rows, title=title)
    closed = result["closed_against_no_action"]
    if closed is not None:
        way = f"{closed:.0%} of the way that no action leaves" if closed > 0 else "no way at all"
        print(f"closes {way}")
    if result["again"]:
        print(f"{show.text(result['again']['largest_difference'])} is the largest difference")
