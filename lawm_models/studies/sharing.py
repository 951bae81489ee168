"""Runs of a study that are the same until their last stage, so that one world model serves all."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lawm_models.studies.cell import Cell, Place


class Turn(NamedTuple):
    """A run, when it is its turn."""

    cell: Cell
    """One of its cells."""
    others: tuple[str, ...]
    """Folders of runs from which it can take all stages but the last, as soon as they have them."""
    shorter: bool
    """One of them has them, or makes them before."""


def turns(left: Sequence[Cell], cells: Sequence[Cell], places: Mapping[str, Place]) -> list[Turn]:
    """The order of runs: seed by seed, and of each seed first those that others can take from.

    Args:
        left: one cell for each run that is not done, in the order of the study.
        cells: all cells of the study.
        places: where they are run, by key.
    """
    alike: dict[str, dict[str, None]] = defaultdict(dict)  # keys by what they begin with, in order
    for cell in cells:
        alike[_beginning(cell)][cell.key] = None
    seeds = list(dict.fromkeys(cell.seed for cell in left))
    begun: set[str] = set()
    order: list[tuple[int, bool, Turn]] = []
    for cell in left:
        beginning = _beginning(cell)
        keys = [key for key in alike[beginning] if key != cell.key]
        later = beginning in begun
        shorter = later or any(_is_ready(places[key]) for key in keys)
        turn = Turn(cell, tuple(str(places[key].folder) for key in keys), shorter)
        order.append((seeds.index(cell.seed), later, turn))
        begun.add(beginning)
    return [turn for *_, turn in sorted(order, key=lambda item: item[:2])]


def _is_ready(place: Place) -> bool:
    from lawm_models.training.stage_reuse import is_ready

    return place.run is not None and is_ready(place.folder)


def _beginning(cell: Cell) -> str:
    """What decides all stages but the last; of a run with one stage, what decides all of it."""
    from lawm_models.training.stage_reuse import until_last_stage

    told = until_last_stage(cell.config, [cell.data])
    return json.dumps(told, sort_keys=True) if told else cell.key
