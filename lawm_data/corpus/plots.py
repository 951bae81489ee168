"""Figures of a view and of a trajectory, for a look or for a paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from lawm_schemas import ConfigError
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from lawm_data.corpus.layout import element_names
from lawm_data.corpus.table import INFERRED, LABEL_STATES, OBSERVED, Table
from lawm_data.system.colors import GREY, SERIES, STATE_COLORS
from lawm_data.system.figures import POINTS, Picture, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from lawm_data.corpus.corpus import Corpus
    from lawm_data.corpus.trajectory import Trajectory

STATES = [state.value for state in LABEL_STATES]
BINS = 30
MOST_SOURCES = 12
"""Sources with a bar of their own; the others share one."""
MOST_LINES = 8
"""Elements of an array that are drawn as lines; more are drawn as an image."""
MOST_ACTIONS = 6
"""Elements of the action that have axes of their own."""
MOST_FIELDS = 8
"""State fields that are drawn where nobody says which."""
ROW = 0.85
"""Inches of a row of a trajectory."""
LONGEST = 20
"""Letters of a name; a longer one is cut."""


def plot_corpus(view: Corpus) -> Picture:
    """Returns in the order of the view and how often they occur, and the label states."""
    table = view.table
    sources = _sources(table)
    height = max(2.6, 1.1 + 0.3 * len(sources))
    if not table.rewarded.any():
        figure = new_figure(5.5, min(height, 1.1 + 0.3 * len(sources)))
        _labels(figure.subplots(), table, sources)
        return figure
    figure = new_figure(9, height)
    left, middle, right = figure.subplots(1, 3, width_ratios=(2.2, 1, 1.8))
    _returns(left, table)
    _histogram(middle, table)
    middle.sharey(left)
    middle.tick_params(labelleft=False)
    _labels(right, table, sources)
    return figure


def _returns(axes: Axes, table: Table) -> None:
    places = np.flatnonzero(table.rewarded)
    shown = places[np.unique(np.linspace(0, len(places) - 1, min(len(places), POINTS)).astype(int))]
    for code, state in enumerate(STATES):
        here = shown[table.labels[shown] == code]
        over = 3 if code == OBSERVED else 2  # the few labeled ones lie on top
        color = STATE_COLORS[state]
        axes.scatter(here, table.episode_return[here], s=10, linewidths=0, c=color, zorder=over)
    margin = 0.5 + 0.02 * len(table)
    axes.set_xlim(-margin, len(table) - 1 + margin)
    axes.set_xlabel("trajectory")
    axes.set_ylabel("return")
    _whole(axes.xaxis, 6)
    _open(axes)


def _histogram(axes: Axes, table: Table) -> None:
    known = table.rewarded
    parts = [
        table.episode_return[known & (table.labels == code)] for code in range(len(LABEL_STATES))
    ]
    colors = [STATE_COLORS[state] for state in STATES]
    axes.hist(parts, BINS, stacked=True, orientation="horizontal", color=colors)
    axes.set_xlabel("trajectories")
    _whole(axes.xaxis, 3)
    _open(axes)


def _sources(table: Table) -> dict[str, np.ndarray]:
    """Places (n,) of the trajectories of each source, the largest first."""
    source = table.source
    names, count = np.unique(source, return_counts=True)
    ranked = names[np.argsort(-count, kind="stable")].tolist()
    own = ranked if len(ranked) <= MOST_SOURCES else ranked[: MOST_SOURCES - 1]
    found = {name: np.flatnonzero(source == name) for name in own}
    if len(own) < len(ranked):
        rest = np.flatnonzero(~np.isin(source, own))
        found[f"{len(ranked) - len(own)} others"] = rest
    return found


def _labels(axes: Axes, table: Table, sources: dict[str, np.ndarray]) -> None:
    """A bar for each source, divided by label state."""
    counts = np.array(
        [np.bincount(table.labels[rows], minlength=len(STATES)) for rows in sources.values()]
    ).reshape(-1, len(STATES))
    place, start = np.arange(len(counts)), np.zeros(len(counts))
    thick = min(0.7, 0.18 * len(counts))
    for code, state in enumerate(STATES):
        if counts[:, code].any():
            total = f"{state}, {counts[:, code].sum():,}"
            color = STATE_COLORS[state]
            axes.barh(place, counts[:, code], thick, left=start, color=color, label=total)
            start += counts[:, code]
    axes.set_yticks(place, [_name(source) for source in sources])
    axes.set_ylim(len(counts) - 0.4, -0.6)
    _whole(axes.xaxis, 5)
    axes.set_xlabel("trajectories")
    _open(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize="small")


class _Row(NamedTuple):
    """A row of the figure of a trajectory."""

    name: str
    height: float
    """Inches."""
    draw: Callable[[Axes], None]


def plot_trajectory(trajectory: Trajectory, fields: Sequence[str] | None = None) -> Picture:
    """Rewards, actions in the colors of their label state, and state fields over the steps.

    Raises:
        ConfigError: there is no such state field.
    """
    rows = [*_reward_rows(trajectory), *_action_rows(trajectory), *_field_rows(trajectory, fields)]
    heights = [row.height for row in rows]
    figure = new_figure(7, 1 + sum(heights))
    grid = figure.subplots(len(rows), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, row in zip(grid, rows, strict=True):
        row.draw(axes)
        axes.set_ylabel(_name(row.name), rotation=0, ha="right", va="center", fontsize="small")
        axes.tick_params(labelsize="small")
        _open(axes)
    steps = len(trajectory)
    grid[-1].set_xlim(-0.01 * steps, 1.01 * steps)
    grid[-1].set_xlabel("step", fontsize="small")
    _whole(grid[-1].xaxis, 8)
    title = [f"trajectory {trajectory.info.id}", f"{steps:,} {'step' if steps == 1 else 'steps'}"]
    earned = f"return {trajectory.info.episode_return:.1f}"
    title.append(earned if trajectory.is_rewarded else "no rewards recorded")
    grid[0].set_title(" · ".join(title), loc="left", fontsize="small")
    states = dict.fromkeys(state.value for state, _, _ in trajectory.label_runs())
    figure.legend(
        handles=[Patch(color=STATE_COLORS[state], label=f"{state} actions") for state in states],
        loc="outside upper right",
        ncols=len(states),
        frameon=False,
        fontsize="small",
    )
    return figure


def _reward_rows(trajectory: Trajectory) -> Iterator[_Row]:
    if trajectory.is_rewarded:
        lines = {"reward": trajectory.rewards}
        yield _Row("reward", ROW, partial(_lines, lines=lines, colors=[GREY]))


def _action_rows(trajectory: Trajectory) -> Iterator[_Row]:
    spec = trajectory.manifest.action
    seen, std = np.full((len(trajectory), spec.size), np.nan), None
    if trajectory.actions is not None:
        known = np.isin(trajectory.step_labels, (OBSERVED, INFERRED))
        seen[known] = trajectory.actions.reshape(seen.shape)[known]
    if trajectory.action_std is not None:
        std = trajectory.action_std.reshape(seen.shape)
    if spec.size > MOST_ACTIONS:
        draw = partial(_action_image, trajectory=trajectory, actions=seen)
        yield _Row(spec.name, _height(spec.size), draw)
        return
    for i, name in enumerate(element_names(spec)):
        bounds = (spec.low[i], spec.high[i]) if spec.low and spec.high else None
        draw = partial(
            _action,
            trajectory=trajectory,
            actions=seen[:, i],
            std=None if std is None else std[:, i],
            bounds=bounds,
        )
        yield _Row(name, ROW, draw)


def _field_rows(trajectory: Trajectory, fields: Sequence[str] | None) -> Iterator[_Row]:
    specs = {spec.name: spec for spec in trajectory.manifest.state}
    for name in list(specs)[:MOST_FIELDS] if fields is None else fields:
        if name not in specs:
            raise ConfigError(f"no state field {name!r}", "plot", f"fields: {', '.join(specs)}")
        array = trajectory.observations[name].reshape(len(trajectory) + 1, -1)
        if specs[name].size > MOST_LINES:
            yield _Row(name, _height(specs[name].size), partial(_image, array=array))
        else:
            lines = dict(zip(element_names(specs[name]), array.T, strict=True))
            yield _Row(name, ROW, partial(_lines, lines=lines, colors=SERIES))


def _lines(axes: Axes, lines: Mapping[str, np.ndarray], colors: Sequence[str]) -> None:
    for (name, values), color in zip(lines.items(), colors, strict=False):
        axes.plot(values, color=color, label=_name(name), **_pen(len(values)))
    axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    if len(lines) > 1:
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            ncols=1 + (len(lines) > 4),
            frameon=False,
            fontsize=6,
            handlelength=1,
            labelspacing=0.2,
            borderpad=0,
        )


def _action(
    axes: Axes,
    trajectory: Trajectory,
    actions: np.ndarray,
    std: np.ndarray | None,
    bounds: tuple[float, float] | None,
) -> None:
    """One element of the action, (T,); NaN where it is not known."""
    steps = np.arange(len(actions))
    _unknown(axes, trajectory)
    for state, first, end in trajectory.label_runs():
        run, color = slice(first, end), STATE_COLORS[state.value]
        axes.plot(steps[run], actions[run], color=color, **_pen(len(actions)))
        if std is not None:
            low, high = actions[run] - std[run], actions[run] + std[run]
            axes.fill_between(steps[run], low, high, color=color, alpha=0.25, linewidth=0)
    if bounds is not None:
        margin = 0.06 * (bounds[1] - bounds[0]) or 1.0
        axes.set_ylim(bounds[0] - margin, bounds[1] + margin)
    elif not np.isfinite(actions).any():
        axes.set_yticks([])


def _action_image(axes: Axes, trajectory: Trajectory, actions: np.ndarray) -> None:
    _unknown(axes, trajectory)
    _image(axes, actions)


def _image(axes: Axes, array: np.ndarray) -> None:
    """An array (n, D) with a row of pixels for each of its elements; NaN is left out."""
    shown = np.asarray(array, np.float64).T
    axes.set_ylim(len(shown) - 0.5, -0.5)
    _whole(axes.yaxis, 6)
    if np.isfinite(shown).any():
        extent = (-0.5, shown.shape[1] - 0.5, len(shown) - 0.5, -0.5)
        drawn = axes.imshow(
            np.ma.masked_invalid(shown),
            aspect="auto",
            interpolation="nearest",
            extent=extent,
            cmap="viridis",
            zorder=1,
        )
        side = axes.inset_axes((1.015, 0, 0.012, 1))
        bar = axes.figure.colorbar(drawn, cax=side)
        side.tick_params(labelsize=6, length=2)
        bar.outline.set_visible(False)


def _unknown(axes: Axes, trajectory: Trajectory) -> None:
    """Shade the steps whose action is not known."""
    for state, first, end in trajectory.label_runs():
        if state.value in ("withheld", "missing"):
            axes.axvspan(
                first - 0.5, end - 0.5, color=STATE_COLORS[state.value], alpha=0.5, linewidth=0
            )


def _pen(points: int) -> dict[str, Any]:
    """A line on which a point that stands alone can be seen too."""
    size = 3 if points <= 40 else 1
    return {"linewidth": 1, "marker": "o", "markersize": size, "markeredgewidth": 0}


def _height(size: int) -> float:
    """Inches of an image with so many rows."""
    return min(2.5, max(ROW, 0.06 * size))


def _name(name: str) -> str:
    """A name of anybody's: not too long, and no formula."""
    cut = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return cut.replace("$", r"\$")


def _whole(axis: Axis, most: int) -> None:
    """At most so many ticks, at whole numbers."""
    axis.set_major_locator(MaxNLocator(most, integer=True, min_n_ticks=1))


def _open(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
