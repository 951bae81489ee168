"""Pictures of results: score against labels, performance profiles, bars."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lawm_data.system.colors import GREY, SERIES
from lawm_data.system.figures import Picture, new_figure
from lawm_models.algorithms import ALGORITHMS
from lawm_models.studies import score
from lawm_models.studies.table import ScoreColumn, ScoreTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vP*X<>phd"
"""As many as have no divisor in common with the colors, so that pairs of both are many."""
SCORE = "normalised return"
REPORTED = "in the paper"
SEED = "#2d3748"
"""Color of a seed's dot on a bar."""
WIDTH = 1.25
"""Inches of a corpus in a bar chart."""
COLUMNS = 3
"""Panels in a row."""
PAGE_WIDTH = 11.0
"""Inches of a row of bar charts."""


def pictures(table: ScoreTable) -> Mapping[str, tuple[str, Picture]]:
    """Caption and figure by name, of all pictures that the results are enough for."""
    drawn = {
        "bars": ("Mean over seeds; a dot is a seed.", _bars(table)),
        "labels": (
            "Interquartile mean against the share of trajectories with actions; a dot is a seed, "
            "the band the 95% bootstrap interval, of three seeds or more. Over all corpora it is "
            "of what has finished on each of them.",
            _curves(table),
        ),
        "profiles": (
            "Share of all runs that score above a return; the band is the 95% bootstrap interval, "
            "of three seeds or more. It is of what has finished on every corpus.",
            _profiles(table),
        ),
    }
    return {
        name: (caption, figure) for name, (caption, figure) in drawn.items() if figure is not None
    }


def looks(table: ScoreTable) -> Mapping[str, tuple[str, str]]:
    """Color and marker of each algorithm: those in the box have their own in every study."""
    names = dict.fromkeys(column.algorithm for column in table.columns)
    ours = ALGORITHMS.ours()
    place = {name: ours.index(name) for name in names if name in ours}
    taken = {n % len(SERIES) for n in place.values()}
    free = (n for n in itertools.count(len(ours)) if n % len(SERIES) not in taken)
    if len(taken) == len(SERIES):
        free = itertools.count(len(ours))
    place |= {name: next(free) for name in names if name not in ours}
    return {name: (SERIES[n % len(SERIES)], MARKERS[n % len(MARKERS)]) for name, n in place.items()}


def _bars(table: ScoreTable) -> Picture:
    """One panel for each label budget, corpora side by side."""
    budgets, look = table.budgets(), looks(table)
    each = max(WIDTH, 0.2 * max(len(places) for _, places in budgets))
    width = 0.8 + each * len(table.rows)
    columns = max(1, int(PAGE_WIDTH // width))
    figure, panels = _panels(len(budgets), columns, width, 2.2)
    for axes, (name, places) in zip(panels, budgets, strict=True):
        step = 0.8 / len(places)
        for number, place in enumerate(places):
            _bar_set(axes, table, place, number * step - 0.4 + step / 2, 0.9 * step, look)
        axes.set_title(_budget_title(table.columns[places[0]], name), loc="left", fontsize="medium")
        axes.tick_params(axis="x", labelsize="small")
        _bare(axes)
    names = [_broken(row.corpus) for row in table.rows]
    panels[0].set_xticks(range(len(table.rows)), names)
    _from_zero(panels)
    kinds = {row.normalized for row in table.rows}
    title = SCORE if kinds == {True} else "return" if kinds == {False} else "score"
    _label_outside(panels, columns, "", title)
    _legend(figure, panels)
    return figure


def _bar_set(
    axes: Axes,
    table: ScoreTable,
    place: int,
    shift: float,
    width: float,
    look: Mapping[str, tuple[str, str]],
) -> None:
    """The bars of one column, its seeds as dots, and the paper's numbers as dashes."""
    column = table.columns[place]
    known = [(x, row.entries[place]) for x, row in enumerate(table.rows)]
    bars = [(x + shift, e.spread.mean) for x, e in known if e.spread]
    color = look[column.algorithm][0]
    if bars:
        x, mean = np.array(bars).T
        axes.bar(x, mean, width, color=color, label=column.title)
        seeds = [(x + shift, one) for x, e in known for one in e.scores]
        axes.scatter(*np.array(seeds).T, s=6, color=SEED, linewidths=0, zorder=3)
    reported = [(x + shift, e.reported.mean) for x, e in known if e.reported]
    if reported:
        x, mean = np.array(reported).T
        axes.hlines(mean, x - width / 2, x + width / 2, color="black", linewidth=1.5, zorder=3)
        style = {"color": "white", "edgecolors": "black", "zorder": 4}
        axes.scatter(x, mean, marker="D", s=12, label=REPORTED, **style)


def _curves(table: ScoreTable) -> Picture | None:
    """One panel for all corpora and one for each; none when there are only two budgets."""
    lines: dict[str, list[int]] = {}  # columns of each algorithm, from few labels to all
    for place in sorted(range(len(table.columns)), key=lambda n: table.columns[n].fraction):
        lines.setdefault(table.columns[place].algorithm, []).append(place)
    if len({column.fraction for column in table.columns}) < 3:
        return None
    corpora = [row.corpus for row in table.rows if row.normalized]
    if not corpora:
        return None
    several = len(corpora) > 1 and any(table.pooled(n) for n in range(len(table.columns)))
    titles: list[str | None] = [*([None] if several else []), *corpora]
    figure, grid = _panels(len(titles))
    for axes, corpus in zip(grid, titles, strict=True):
        for name, places in lines.items():
            _curve(axes, table, name, places, corpus)
        axes.set_xscale("log")
        ticks = sorted({column.fraction for column in table.columns})
        axes.set_xticks(ticks, [f"{100 * tick:.3g}%" for tick in ticks])
        axes.minorticks_off()
        axes.set_title(corpus or "all corpora", loc="left", fontsize="medium")
        _bare(axes)
    _label_outside(grid, COLUMNS, "trajectories with actions", SCORE)
    _from_zero(grid)
    _legend(figure, grid)
    return figure


def _from_zero(grid: Sequence[Axes]) -> None:
    """Begin the common axis of scores at 0, unless there are some below."""
    if min(axes.dataLim.y0 for axes in grid) >= 0:
        grid[0].set_ylim(bottom=0)


def _curve(
    axes: Axes, table: ScoreTable, name: str, places: Sequence[int], corpus: str | None
) -> None:
    known = [
        (place, table.pooled(place) if corpus is None else table.strata(place, corpus))
        for place in places
    ]
    known = [(place, strata) for place, strata in known if strata]
    if not known:
        return
    x = [table.columns[place].fraction for place, _ in known]
    # where there is no interval its ends are NaN, and nothing is drawn
    value, low, high = np.array([score.iqm(strata) for _, strata in known], float).T
    color, marker = looks(table)[name]
    axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    if corpus is not None:
        dots = [(at, one) for at, (_, (scores,)) in zip(x, known, strict=True) for one in scores]
        axes.scatter(*np.array(dots).T, s=8, color=color, alpha=0.6, linewidths=0)
    title = table.columns[places[0]].title
    axes.plot(x, value, color=color, marker=marker, markersize=4, label=title)


def _profiles(table: ScoreTable) -> Picture | None:
    """One panel for each label budget; none without a normalised score."""
    budgets = [
        (name, [place for place in places if table.pooled(place)])
        for name, places in table.budgets()
    ]
    budgets = [(name, places) for name, places in budgets if places]
    if not budgets:
        return None
    look = looks(table)
    every = [s for _, places in budgets for p in places for part in table.pooled(p) for s in part]
    threshold = np.linspace(min(0.0, *every), max(100.0, *every), 201)
    figure, grid = _panels(len(budgets))
    for axes, (name, places) in zip(grid, budgets, strict=True):
        for place in places:
            column = table.columns[place]
            drawn = score.profile(table.pooled(place), threshold)
            color = look[column.algorithm][0]
            if drawn.low is not None and drawn.high is not None:
                band = {"color": color, "alpha": 0.12, "linewidth": 0, "step": "post"}
                axes.fill_between(threshold, drawn.low, drawn.high, **band)
            axes.step(threshold, drawn.share, where="post", color=color, label=column.title)
        axes.set_title(_budget_title(table.columns[places[0]], name), loc="left", fontsize="medium")
        axes.set_ylim(0, 1.02)
        axes.set_xlim(threshold[0], threshold[-1])
        _bare(axes)
    _label_outside(grid, COLUMNS, SCORE, "share of runs above it")
    _legend(figure, grid)
    return figure


def _panels(
    count: int, columns: int = COLUMNS, width: float = 3.2, height: float = 2.6
) -> tuple[Picture, list[Axes]]:
    """So many panels of so many inches with common axes."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = new_figure(max(5.5, 0.8 + width * columns), 0.8 + height * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, list(grid[:count])


def _label_outside(grid: Sequence[Axes], columns: int, x: str, y: str) -> None:
    columns = min(columns, len(grid))
    for number, axes in enumerate(grid):
        if number % columns == 0:
            axes.set_ylabel(y)
        if number + columns >= len(grid):
            axes.set_xlabel(x)
            axes.tick_params(labelbottom=True)


def _legend(figure: Picture, grid: Iterable[Axes]) -> None:
    """One legend for all panels, below them."""
    shown = {
        name: handle
        for axes in grid
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    # what the paper says is no algorithm: last
    names = sorted(shown, key=lambda name: name == REPORTED)
    handles = [shown[name] for name in names]
    # as many columns as fit; a title may have any length, so they are measured
    for rows in range(1, len(names) + 1):
        columns = math.ceil(len(names) / rows)
        legend = figure.legend(
            handles, names, loc="outside lower center", ncols=columns, frameon=False
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()


def _budget_title(column: ScoreColumn, name: str) -> str:
    if isinstance(column.labels, float):
        return f"{name} of the actions"
    return "all actions (oracles)" if column.oracle else name


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GREY, alpha=0.2, linewidth=0.5)
    axes.set_axisbelow(True)


def _broken(name: str) -> str:
    """A long name in two lines, at the hyphen nearest to its middle."""
    places = [n for n, letter in enumerate(name) if letter in "-/"]
    if len(name) < 14 or not places:
        return name
    middle = min(places, key=lambda n: abs(n - len(name) / 2))
    return f"{name[: middle + 1]}\n{name[middle + 1 :]}"
