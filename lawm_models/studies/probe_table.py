"""The table of a study that is judged by the probe: its algorithms, and what stands beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple, cast, get_args

from lawm_schemas import ConfigError, Results

from lawm_data.system.colors import GREY, SERIES
from lawm_data.system.figures import Picture, new_figure
from lawm_models.probes.columns import PROBES
from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import Kind
from lawm_models.probes.page import cell
from lawm_models.probes.result import TITLES, Line
from lawm_models.studies.table import budget

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MINUTES = Column(
    "cpu_minutes",
    "CPU min",
    "low",
    "0 and more",
    "CPU minutes of a training",
    "what else ran there",
)


class JudgedRow(NamedTuple):
    """An algorithm or an anchor, on a corpus with a label budget."""

    corpus: str
    labels: float | str
    curve: str
    """Of ``lam`` its constraint, of its relatives the algorithm, with ``+ labels`` where latent
    actions are learned from some; empty of an anchor."""
    line: Line
    """Its figures, seed by seed."""


class ProbeTable(NamedTuple):
    """Everything that is printed."""

    results: Results
    columns: tuple[Column, ...]
    """Those in which something stands."""
    rows: tuple[JudgedRow, ...]


def make_probe_table(results: Results) -> ProbeTable:
    """The table of a study that is judged by the probe, finished or not.

    Raises:
        ConfigError: not a single run is judged.
    """
    rows: dict[tuple[str, float | str, str], JudgedRow] = {}
    anchors: dict[tuple[str, float | str, str], JudgedRow] = {}
    for each in results.cells:
        if each.figures is not None:
            key = each.corpus, each.labels, each.algorithm
            about = _curve(results, each.algorithm)
            title = results.study.algorithms[each.algorithm].title or each.algorithm
            row = rows.setdefault(key, JudgedRow(*key[:2], about, Line(title, "run", (), {})))
            _add(row.line, each.figures)
            if each.cpu_seconds is not None:
                _add(row.line, {MINUTES.name: each.cpu_seconds / 60})
    if not rows:
        reason = next((each.unjudged for each in results.cells if each.unjudged), None)
        what, hint = "no run is judged", "run the benchmark first"
        if reason is not None:
            what, hint = f"{what}: {reason}", "then run the benchmark again"
        raise ConfigError(what, results.name, hint)
    beside = {(each.corpus, each.labels, each.seed) for each in results.cells}
    for anchor in results.anchors:
        if (anchor.corpus, anchor.labels, anchor.seed) not in beside:
            continue  # of what the study no longer has
        key, kind = (anchor.corpus, anchor.labels, anchor.kind), cast(Kind, anchor.kind)
        if kind not in get_args(Kind):
            raise ConfigError(f"has an anchor {kind!r}", results.name, "make it again")
        line = Line(TITLES[kind], kind, (), {})
        _add(anchors.setdefault(key, JudgedRow(*key[:2], "", line)).line, anchor.figures)
    each_row = [*rows.values(), *anchors.values()]
    places = {name: i for i, name in enumerate(results.study.corpora)}
    each_row.sort(key=lambda row: (places[row.corpus], str(row.labels), row.line.kind != "run"))
    filled = {name for row in each_row for name in row.line.values}
    modules = sorted((PROBES.load(name) for name in PROBES.names()), key=lambda m: m.PLACE)
    every = [*(column for module in modules for column in module.COLUMNS), MINUTES]
    columns = [column for column in every if column.shown and column.name in filled]
    return ProbeTable(results, tuple(columns), tuple(each_row))


def _add(line: Line, figures: dict[str, float]) -> None:
    for name, value in figures.items():
        line.values.setdefault(name, []).append(value)


def _curve(results: Results, algorithm: str) -> str:
    config = results.configs[algorithm]["algorithm"]
    model, name = config["settings"].get("model", {}), config["name"]
    name = model["constraint"]["name"] if name == "lam" else name
    return f"{name} + labels" if model.get("labels") else name


def markdown(table: ProbeTable) -> str:
    """A grid for each corpus and label budget, with a final newline."""
    parts = [table.results.study.description] if table.results.study.description else []
    for (corpus, labels), rows in _groups(table).items():
        head = [f"{corpus}, {budget(labels)}", *(column.title for column in table.columns)]
        grid = [head, ["---", *("--:" for _ in table.columns)]]
        grid += [[r.line.name, *(cell(r.line, column) for column in table.columns)] for r in rows]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in grid))
    count = len(table.results.study.seeds)
    parts.append(
        f"Mean ± sample standard deviation over seeds, of two both; {count} were asked for."
    )
    return "\n\n".join(parts) + "\n"


def comma_separated(table: ProbeTable) -> str:
    """A line for each figure of each seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("corpus", "labels", "name", "kind", "column", "number", "value"))
    for row in table.rows:
        for name, values in row.line.values.items():
            for number, value in enumerate(values):
                line = row.line
                writer.writerow((row.corpus, row.labels, line.name, line.kind, name, number, value))
    return text.getvalue()


PAIRS = (("capacity", "transfer_gain"), ("leak", "error"))
"""What is drawn against what: how much a latent may say, and what that is good for."""
FRONTIER = ("error", "transfer_gain", "leak")
"""Across, up and the color of the frontier."""


def pictures(table: ProbeTable) -> dict[str, Picture]:
    """Curves and the frontier of each corpus and label budget, by the name of the file."""
    titles, found = {column.name: column.title for column in table.columns}, {}
    groups = _groups(table)
    for (corpus, labels), rows in groups.items():
        title = f"{corpus}, {budget(labels)}"
        drawn = {
            f"{y}-{x}".replace("_", "-"): _curves(rows, x, y, titles)
            for x, y in PAIRS
            if {x, y} <= titles.keys()
        }
        if {*FRONTIER} <= titles.keys():
            drawn["frontier"] = _frontier(rows, titles)
        for name, picture in drawn.items():
            picture.axes[0].set_title(title, fontsize="medium")
            of = title.replace("%", "pct").replace(", ", "-").replace(" ", "-")
            found[f"{name}-{of}" if len(groups) > 1 else name] = picture
    return found


def _groups(table: ProbeTable) -> dict[tuple[str, float | str], list[JudgedRow]]:
    """The rows of each corpus and label budget."""
    found: dict[tuple[str, float | str], list[JudgedRow]] = {}
    for row in table.rows:
        found.setdefault((row.corpus, row.labels), []).append(row)
    return found


def _curves(rows: list[JudgedRow], x: str, y: str, titles: dict[str, str]) -> Picture:
    """A curve for each constraint, and for each algorithm that is no ``lam``."""
    drawn = new_figure(6, 4)
    axes = drawn.subplots()
    names = list(dict.fromkeys(row.curve for row in rows if row.curve))
    for number, name in enumerate(names):
        places = sorted(_places([row for row in rows if row.curve == name], x, y))
        if not places:
            continue
        color, style = SERIES[number % len(SERIES)], "o--" if "labels" in name else "o-"
        axes.plot(*zip(*places, strict=True), style, color=color, label=name, markersize=4)
    axes.legend(fontsize="small", frameon=False)
    _dress(axes, rows, x, y, titles)
    return drawn


def _frontier(rows: list[JudgedRow], titles: dict[str, str]) -> Picture:
    """What a latent action is worth elsewhere against what it leaves here.

    The color is how much of a jump it carries: those of one color are to be compared.
    """
    x, y, color = FRONTIER
    drawn = new_figure(6.5, 4)
    axes = drawn.subplots()
    means = [
        (row.line.name, *(fmean(row.line.values[name]) for name in FRONTIER))
        for row in rows
        if row.curve and row.line.values.keys() >= {*FRONTIER}
    ]
    if means:
        names, across, up, leak = zip(*means, strict=True)
        points = axes.scatter(
            across, up, c=leak, cmap="viridis_r", vmin=0, vmax=1, s=40, edgecolors=GREY, zorder=2
        )
        drawn.colorbar(points, ax=axes, label=titles[color])
        for name, *place in zip(names, across, up, strict=True):
            beside = {"xytext": (5, 3), "textcoords": "offset points"}
            axes.annotate(name, (place[0], place[1]), **beside, fontsize="x-small")
    _dress(axes, rows, x, y, titles)
    return drawn


def _dress(axes: Axes, rows: list[JudgedRow], x: str, y: str, titles: dict[str, str]) -> None:
    """Titles, and a line for what stands beside and knows true actions."""
    for row in rows:
        if not row.curve and y in row.line.values and row.line.kind.startswith("acwm"):
            height = fmean(row.line.values[y])
            axes.axhline(height, color=GREY, linestyle=":", zorder=1)
            place = (axes.get_xlim()[0], height)
            axes.annotate(row.line.name, place, fontsize="x-small", color=GREY)
    axes.set_xlabel(titles[x])
    axes.set_ylabel(titles[y])
    axes.spines[["top", "right"]].set_visible(False)


def _places(rows: list[JudgedRow], x: str, y: str) -> Iterable[tuple[float, float]]:
    for row in rows:
        values = row.line.values
        if x in values and y in values:
            yield fmean(values[x]), fmean(values[y])
