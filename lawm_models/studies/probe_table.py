"""The table of a study that is judged by the probe: its algorithms, and what stands beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from statistics import fmean
from typing import NamedTuple, cast, get_args

from lawm_schemas import ConfigError, Results

from lawm_data.system.colors import GREY, SERIES
from lawm_data.system.figures import Picture, new_figure
from lawm_models.probes.columns import PROBES
from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.evidence import Kind
from lawm_models.probes.page import cell
from lawm_models.probes.result import TITLES, Line
from lawm_models.studies.table import budget


class JudgedRow(NamedTuple):
    """An algorithm or an anchor, on a corpus with a label budget."""

    corpus: str
    labels: float | str
    constraint: str
    """Of an algorithm, with ``+ labels`` where it learns latent actions from some; else empty."""
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
            about = _constraint(results, each.algorithm)
            title = results.study.algorithms[each.algorithm].title or each.algorithm
            row = rows.setdefault(key, JudgedRow(*key[:2], about, Line(title, "run", (), {})))
            _add(row.line, each.figures)
    if not rows:
        raise ConfigError("no run is judged", results.name, "run the benchmark first")
    for anchor in results.anchors:
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
    columns = [c for m in modules for c in m.COLUMNS if c.shown and c.name in filled]
    return ProbeTable(results, tuple(columns), tuple(each_row))


def _add(line: Line, figures: dict[str, float]) -> None:
    for name, value in figures.items():
        line.values.setdefault(name, []).append(value)


def _constraint(results: Results, algorithm: str) -> str:
    model = results.configs[algorithm]["algorithm"]["settings"].get("model", {})
    name = model.get("constraint", {}).get("name", "")
    return f"{name} + labels" if model.get("labels") else name


def markdown(table: ProbeTable) -> str:
    """A grid for each corpus and label budget, with a final newline."""
    groups: dict[tuple[str, float | str], list[JudgedRow]] = {}
    for row in table.rows:
        groups.setdefault((row.corpus, row.labels), []).append(row)
    parts = [table.results.study.description] if table.results.study.description else []
    for (corpus, labels), rows in groups.items():
        head = [f"{corpus}, {budget(labels)}", *(column.title for column in table.columns)]
        grid = [head, ["---", *("--:" for _ in table.columns)]]
        grid += [[r.line.name, *(cell(r.line, column) for column in table.columns)] for r in rows]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in grid))
    count = len(table.results.study.seeds)
    parts.append(f"Mean ± sample standard deviation over seeds, of which {count} were asked for.")
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


def pictures(table: ProbeTable) -> dict[str, Picture]:
    """A curve for each constraint, by the name of the file; of the first corpus and budget."""
    first = table.rows[0]
    rows = [r for r in table.rows if (r.corpus, r.labels) == (first.corpus, first.labels)]
    titles = {column.name: column.title for column in table.columns}
    return {
        f"{y}-{x}".replace("_", "-"): _curves(rows, x, y, titles)
        for x, y in PAIRS
        if {x, y} <= titles.keys()
    }


def _curves(rows: list[JudgedRow], x: str, y: str, titles: dict[str, str]) -> Picture:
    drawn = new_figure(6, 4)
    axes = drawn.subplots()
    names = list(dict.fromkeys(row.constraint for row in rows if row.constraint))
    for number, name in enumerate(names):
        places = sorted(_places([row for row in rows if row.constraint == name], x, y))
        if not places:
            continue
        color, style = SERIES[number % len(SERIES)], "o--" if "labels" in name else "o-"
        axes.plot(*zip(*places, strict=True), style, color=color, label=name, markersize=4)
    for row in rows:
        if not row.constraint and y in row.line.values and row.line.kind.startswith("acwm"):
            axes.axhline(fmean(row.line.values[y]), color=GREY, linestyle=":")
            axes.annotate(
                row.line.name,
                (axes.get_xlim()[0], fmean(row.line.values[y])),
                fontsize="x-small",
                color=GREY,
            )
    axes.set_xlabel(titles[x])
    axes.set_ylabel(titles[y])
    axes.legend(fontsize="small", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn


def _places(rows: list[JudgedRow], x: str, y: str) -> Iterable[tuple[float, float]]:
    for row in rows:
        values = row.line.values
        if x in values and y in values:
            yield fmean(values[x]), fmean(values[y])
