"""A table of results as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from lawm_models.probes.seeds import FEWEST
from lawm_models.studies.pairs import Difference
from lawm_models.studies.paper import Reported
from lawm_models.studies.score import ConfidenceInterval
from lawm_models.studies.table import Entry, ScoreTable, printed

WIDE = 8
"""Columns that a table may have."""
NOTHING = "–"
PAPER = "arXiv 2512.10016"


def markdown(table: ScoreTable) -> str:
    """The table and what its numbers are, with a final newline.

    One with very many columns becomes one for each label budget, turned on its side if need be.
    """
    budgets = [places for _, places in table.budgets()]
    parts = [table] if len(table.columns) <= WIDE else [table.narrow(places) for places in budgets]
    compared = [_lines(*compared_grid(table)), compared_caption(table)] if table.against else []
    return "\n\n".join([*map(_grid, parts), caption(table), *compared]) + "\n"


def _grid(table: ScoreTable) -> str:
    head, *rest = [["corpus", *(column.heading for column in table.columns)], *body(table)]
    if len(table.columns) > WIDE:
        head, *rest = (list(cells) for cells in zip(["algorithm", *head[1:]], *rest, strict=True))
    return _lines(head, *rest)


def _lines(head: list[str], *rest: list[str]) -> str:
    rule = ["---", *("--:" for _ in head[1:])]
    escaped = ([cell.replace("|", "\\|") for cell in cells] for cells in (head, rule, *rest))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)


def body(table: ScoreTable) -> Iterable[list[str]]:
    """The rows below the header, as text."""
    seeds = len(table.seeds)
    for row in table.rows:
        scale = "" if row.normalized else " (return)"
        yield [f"{row.corpus}{scale}", *(entry_text(entry, seeds) for entry in row.entries)]
        if any(entry.reported for entry in row.entries):
            yield ["*in the paper*", *(reported_text(entry.reported) for entry in row.entries)]
    yield from summaries(table)


def summaries(table: ScoreTable) -> Iterable[list[str]]:
    """The rows that sum up several corpora."""
    if len(table.rows) > 1:
        yield ["average", *map(number_text, table.averages)]
        if len(table.compared) > 1:
            name = f"average of the paper's {len(table.compared)}"
            yield [name, *map(number_text, table.compared_averages)]
        if len(table.compared) != 1 and any(v is not None for v in table.reported_averages):
            means = table.reported_averages
            yield ["*in the paper*", *(NOTHING if m is None else f"*{printed(m)}*" for m in means)]
    yield ["interquartile mean", *map(interval_text, table.iqms)]


def entry_text(entry: Entry, seeds: int) -> str:
    """Mean ± standard deviation, of two seeds both scores; how many seeds, while some are missing.

    The best in bold.
    """
    if entry.spread is None:
        return NOTHING
    count, std = entry.spread.seeds, entry.spread.std
    text = printed(entry.spread.mean)
    text += f" ± {printed(std)}" if std is not None else ""
    text = f"**{text}**" if entry.best else text
    notes = [", ".join(map(printed, entry.scores))] if 1 < count < FEWEST else []
    notes += [f"{count} of {seeds}"] if count != seeds else []
    return f"{text} ({'; '.join(notes)})" if notes else text


def reported_text(reported: Reported | None) -> str:
    """A number of the paper."""
    return f"*{printed(reported.mean)} ± {printed(reported.std)}*" if reported else NOTHING


def number_text(value: float | None) -> str:
    """A number, or a dash."""
    return NOTHING if value is None else printed(value)


def interval_text(value: ConfidenceInterval | None) -> str:
    """A figure and its interval."""
    if value is None:
        return NOTHING
    if value.low is None or value.high is None:
        return printed(value.value)
    return f"{printed(value.value)} [{printed(value.low)}, {printed(value.high)}]"


def caption(table: ScoreTable) -> str:
    """What the numbers are."""
    seeds = ", ".join(map(str, table.seeds))
    entries = [entry for row in table.rows for entry in row.entries]
    has_best = any(entry.best for entry in entries)
    has_interval = any(iqm and iqm.low is not None for iqm in table.iqms)
    what = "Normalised return"
    if not any(row.normalized for row in table.rows):
        what = "Return"
    elif not all(row.normalized for row in table.rows):
        what = "Normalised return (return where a row says so)"
    kinds = {
        1: f"{what}, seed {seeds} alone.",
        2: f"{what}, mean over seeds {seeds}, in parentheses each.",
    }
    many = f"{what}, mean ± standard deviation (n − 1) over seeds {seeds}."
    parts = [
        kinds.get(len(table.seeds), many),
        "Bold: best of the same label budget." if has_best else "",
        "In brackets: 95% stratified bootstrap interval." if has_interval else "",
    ]
    if any(entry.reported for entry in entries):
        parts.append(f"In the paper: Table 1 of {PAPER}, with its own corpora and sizes.")
    return f"{' '.join(part for part in parts if part)} `{table.command}`"


def compared_grid(table: ScoreTable) -> list[list[str]]:
    """Head and rows of the differences in pairs."""
    corpora = [row.corpus for row in table.rows] if len(table.rows) > 1 else []
    rows = [
        [
            column.heading,
            signed(found.mean),
            *(
                signed(found.by_corpus[name]) if name in found.by_corpus else NOTHING
                for name in corpora
            ),
            f"{found.ahead} of {len(found.pairs)}",
            p_text(found),
        ]
        for column, found in table.differences
    ]
    return [[f"minus {table.against}", "difference", *corpora, "ahead", "p"], *rows]


def compared_caption(table: ScoreTable) -> str:
    """What those numbers are."""
    return (
        f"Difference to {table.against} with the same labels, in pairs of runs of one corpus and "
        "seed; how many pairs are ahead; p of a two-sided sign-flip test over all of them, which "
        "n pairs cannot bring below 2 / 2ⁿ."
    )


def _signed_or_nothing(value: float | None) -> str:
    return NOTHING if value is None else signed(value)


def signed(value: float) -> str:
    """A difference, with its sign."""
    return f"{value:+.1f}".replace("-", "−")


def p_text(found: Difference) -> str:
    """The p of a difference as it is printed."""
    return "< 0.001" if found.p < 0.001 else f"{found.p:.3f}"


COLUMNS: tuple[str, ...] = (
    "corpus",
    "algorithm",
    "title",
    "labels",
    "fraction",
    "scale",
    "mean",
    "std",
    "stderr",
    "seeds",
    "best",
    "low",
    "high",
    "paper_mean",
    "paper_std",
)
"""``low`` and ``high`` bound the interval of an interquartile mean."""


def comma_separated(table: ScoreTable) -> str:
    """Cells, then averages and interquartile means, which have no corpus of that name."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for place, column in enumerate(table.columns):
        known = {
            "algorithm": column.algorithm,
            "title": column.title,
            "labels": column.labels,
            "fraction": column.fraction,
        }
        for row in table.rows:
            entry = row.entries[place]
            reported = entry.reported
            figures = entry.spread._asdict() if entry.spread else {}
            scale = "normalised" if row.normalized else "return"
            line = {**known, "corpus": row.corpus, "scale": scale, **figures}
            if reported:
                line |= {"paper_mean": reported.mean, "paper_std": reported.std}
            writer.writerow({**line, "best": int(entry.best)})
        average = {"mean": table.averages[place], "paper_mean": table.reported_averages[place]}
        if table.compared:
            average["paper_mean"] = None
        writer.writerow({**known, "corpus": "(average)", "scale": "normalised", **average})
        iqm = table.iqms[place]
        if iqm:
            bounds = {"mean": iqm.value, "low": iqm.low, "high": iqm.high}
            line = {**known, "corpus": "(interquartile mean)", "scale": "normalised"}
            writer.writerow({**line, **bounds})
    return text.getvalue()
