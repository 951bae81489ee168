"""Options that several commands share, so that they are called the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from lawm_schemas import ConfigError
from typer.core import TyperCommand

if TYPE_CHECKING:
    from lawm_data.corpus.corpus import Corpus as View
    from lawm_data.system.registry import Registry

HELP = {"help_option_names": ["-h", "--help"]}
"""Context settings of both programs."""

Corpus = Annotated[Path, typer.Argument(help="Folder of the corpus.", show_default=False)]
Corpora = Annotated[
    list[Path],
    typer.Argument(metavar="CORPORA", help="Folders of corpora.", show_default=False),
]
Out = Annotated[Path, typer.Option(help="Folder of the corpus to write.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")]
Run = Annotated[Path, typer.Argument(help="Run folder.", show_default=False)]
Mask = Annotated[
    str | None, typer.Option(help="Look through this mask: what it hides is not seen.")
]
Labels = Annotated[str | None, typer.Option(help="Fill in the inferred actions of this overlay.")]
Latents = Annotated[
    str | None,
    typer.Option(help="Take these latent actions along, as the column latent_action."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all randomness.")]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLUE",
        help="Keep what gives hidden actions away: seeds, agent, lineage, metadata, physics, "
        "rewards, bounds; may be given several times.",
    ),
]
Withheld = Annotated[
    bool,
    typer.Option("--truth-from-withheld", help="Allow to read actions that masks hide."),
]
Draw = Annotated[
    Literal["fast", "shadows", "suite"] | None,
    typer.Option(
        help="How images are drawn: fast, without shadows; shadows, near the suite's picture; or"
        " suite. By default fast; a corpus that goes on keeps its own.",
    ),
]
DistractorList = Annotated[
    list[str] | None,
    typer.Option(
        "--distractors",
        metavar="NAME",
        help="What else moves in the images: video:FILE behind the body, agents (discs that pass),"
        " noise; may be given several times.",
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what has this name.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a setting, see lawm settings; the value is YAML."
    ),
]
Planner = Annotated[
    str | None,
    typer.Option(
        help="Search the world model for every action with this planner, instead of asking the"
        " learned policy.",
        autocompletion=lambda incomplete: offer_planners(incomplete),
    ),
]
PlannerSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting of the planner, see docs/planning.md; the value is YAML.",
    ),
]
FormatSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting of the format, see lawm-data formats; the value is YAML.",
    ),
]


def through(view: View, mask: str | None, keep: Sequence[str] | None) -> View:
    """A corpus seen through ``--mask``, of whose hidden actions ``--keep`` leaves clues.

    Raises:
        ConfigError: there is something to keep, and nothing that it would give away.
        MaskError: there is no such mask.
    """
    if mask is None:
        if keep:
            raise ConfigError("goes with --mask", "--keep", "give both")
        return view
    return view.with_mask(mask)


def offer_algorithms(incomplete: str) -> list[str]:
    """What a shell offers for the name of an algorithm."""
    from lawm_models.algorithms import ALGORITHMS

    return [name for name in ALGORITHMS.names() if name.startswith(incomplete)]


def offer_presets(incomplete: str) -> list[str]:
    """What a shell offers for the name of a preset."""
    from lawm_models.training.presets import PRESETS

    return [name for name in PRESETS.names() if name.startswith(incomplete)]


def offer_planners(incomplete: str) -> list[str]:
    """What a shell offers for the name of a planner."""
    from lawm_models.planning.planners import PLANNERS

    return [name for name in PLANNERS.names() if name.startswith(incomplete)]


def example(*lines: str) -> str:
    """The end of a help screen: command lines to copy, kept as they are."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def choosing(choices: Callable[[], Mapping[str, Registry[Any]]]) -> type[TyperCommand]:
    """A command whose help screen ends with what there is to choose from.

    Args:
        choices: registries by their headings; called when the help is shown.
    """

    class Command(TyperCommand):
        def format_epilog(self, ctx: Any, formatter: Any) -> None:
            for heading, registry in choices().items():
                known = {name: registry.summary(name) for name in registry.names()}
                with formatter.section(heading):
                    formatter.write_dl(list(known.items()))
                for fault in registry.faults():
                    formatter.write_text(f"warning: {fault}")
            super().format_epilog(ctx, formatter)

    return Command


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(version("lawm"))
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
]
