"""A table of results as CSV: one line for each cell, with plain numbers."""

from __future__ import annotations

import csv
import io

from lawm_models.studies.table import Table

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


def comma_separated(table: Table) -> str:
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
