"""From the results of a study to a table like the paper's: numbers, before they become text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple, TypeVar

from lawm_schemas import CellResult, ConfigError, Results
from lawm_schemas.study import ALL

from lawm_models.algorithms import title
from lawm_models.studies import pairs, paper, score
from lawm_models.studies.pairs import Difference
from lawm_models.studies.paper import Reported
from lawm_models.studies.score import ConfidenceInterval, Spread

T = TypeVar("T")


class ScoreColumn(NamedTuple):
    """An algorithm with a label budget."""

    algorithm: str
    """Its name in the study."""
    labels: float | str
    """The budget: a fraction, ``all``, or the name of a mask."""
    title: str
    """What the algorithm is called."""
    budget: str
    """What the budget is called."""
    fraction: float
    """Share of the trajectories with actions, for the axis of a picture."""

    @property
    def oracle(self) -> bool:
        """Whether it sees every recorded action."""
        return self.labels == ALL

    @property
    def heading(self) -> str:
        """Both, in one line."""
        return f"{self.title} ({self.budget})"


class Entry(NamedTuple):
    """A cell of the table: one column on one corpus."""

    scores: tuple[float, ...]
    """Of each finished seed, in their order."""
    spread: Spread | None
    """None when no seed is finished."""
    reported: Reported | None
    """What the paper reports for it, or none."""
    best: bool
    """Highest mean of its label budget on this corpus, as it is printed; never of an oracle."""


class Row(NamedTuple):
    """A corpus."""

    corpus: str
    normalized: bool
    """Scores are 100 × return / largest possible return; otherwise they are returns."""
    entries: tuple[Entry, ...]
    """By column."""


class ScoreTable(NamedTuple):
    """Everything that is printed."""

    name: str
    description: str
    command: str
    columns: tuple[ScoreColumn, ...]
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    averages: tuple[float | None, ...]
    """By column, over all corpora; none where a run is missing or a score is not normalised."""
    compared: tuple[str, ...]
    """Corpora with numbers of the paper, when they are fewer than all."""
    compared_averages: tuple[float | None, ...]
    """By column, over these."""
    reported_averages: tuple[float | None, ...]
    """By column, those of the paper over the same corpora."""
    iqms: tuple[ConfidenceInterval | None, ...]
    """By column, over all corpora and seeds; none as for ``averages``."""
    against: str | None = None
    """What the algorithm is called that others are compared with, or none."""
    differences: tuple[tuple[ScoreColumn, Difference], ...] = ()
    """Columns that are compared with it, and what came out."""

    def strata(self, column: int, corpus: str | None = None) -> list[tuple[float, ...]]:
        """Normalised scores of the seeds on each corpus, or on one of them, where there are any."""
        rows = [row for row in self.rows if row.normalized and corpus in (None, row.corpus)]
        return [row.entries[column].scores for row in rows if row.entries[column].scores]

    def pooled(self, column: int) -> list[tuple[float, ...]]:
        """Normalised scores of the seeds on all corpora; none where one is missing.

        What is known of some corpora alone is not to be compared with what is known of others.
        """
        corpora = sum(row.normalized for row in self.rows)
        found = self.strata(column)
        whole = corpora == 1 or all(len(scores) == len(self.seeds) for scores in found)
        return found if len(found) == corpora and whole else []

    def narrow(self, places: Sequence[int]) -> ScoreTable:
        """The same with these columns only."""

        def pick(values: Sequence[T]) -> tuple[T, ...]:
            return tuple(values[place] for place in places)

        return self._replace(
            columns=pick(self.columns),
            rows=tuple(row._replace(entries=pick(row.entries)) for row in self.rows),
            averages=pick(self.averages),
            compared_averages=pick(self.compared_averages),
            reported_averages=pick(self.reported_averages),
            iqms=pick(self.iqms),
        )

    def budgets(self) -> list[tuple[str, list[int]]]:
        """The label budgets, and the columns of each."""
        names = dict.fromkeys(column.budget for column in self.columns)
        places = enumerate(self.columns)
        by_name: dict[str, list[int]] = {name: [] for name in names}
        for place, column in places:
            by_name[column.budget].append(place)
        return list(by_name.items())


def make_table(results: Results, against: str | None = None) -> ScoreTable:
    """The table of a study, finished or not.

    Args:
        results: what came out of it.
        against: the algorithm that others are compared with in pairs, or none.

    Raises:
        ConfigError: not a single run is finished, or there is nothing to compare.
    """
    finished = [cell for cell in results.cells if cell.evaluation is not None]
    if not finished:
        raise ConfigError("no run is finished", results.name, "run the benchmark first")
    columns = tuple(_columns(results))
    rows = tuple(_row(results, name, columns, finished) for name in results.study.corpora)
    # a column can be summed up when it has every seed on every corpus, on one scale
    complete = [
        all(r.normalized and len(r.entries[n].scores) == len(results.study.seeds) for r in rows)
        for n in range(len(columns))
    ]
    known = [row for row in rows if any(entry.reported for entry in row.entries)]
    reported = [
        [entry.mean for row in known if (entry := row.entries[n].reported)]
        for n in range(len(columns))
    ]
    by_name = {(column.algorithm, column.labels): column for column in columns}
    found = pairs.differences(results, against) if against is not None else ()
    return ScoreTable(
        name=results.name,
        description=results.study.description,
        command=results.command,
        columns=columns,
        rows=rows,
        seeds=results.study.seeds,
        averages=_averages(rows, complete),
        compared=tuple(row.corpus for row in known) if len(known) < len(rows) else (),
        compared_averages=_averages(known, complete),
        reported_averages=tuple(
            fmean(means) if means and len(means) == len(known) else None for means in reported
        ),
        iqms=tuple(
            score.iqm([row.entries[place].scores for row in rows]) if whole else None
            for place, whole in enumerate(complete)
        ),
        against=next((c.title for c in columns if c.algorithm == against), None),
        differences=tuple((by_name[each.algorithm, each.labels], each) for each in found),
    )


def _columns(results: Results) -> Iterable[ScoreColumn]:
    """Oracles first, as in the paper, then budgets from small to large."""
    study = results.study
    every = dict.fromkeys(labels for name in study.algorithms for labels in study.labels_of(name))
    fractions: dict[float | str, float] = {}
    for labels in every:
        # what all corpora record is all there is; what a mask shows can be counted
        shares = [c.labeled / c.trajectories for c in results.cells if c.labels == labels]
        known = 1.0 if labels == ALL or not shares else fmean(shares)
        fractions[labels] = known if isinstance(labels, str) else labels
    order = sorted(every, key=lambda labels: (labels != ALL, fractions[labels]))
    for labels in order:
        for name, entry in study.algorithms.items():
            if labels in study.labels_of(name):
                algorithm = entry.algorithm or name
                called = entry.title or (title(name) if name == algorithm else name)
                yield ScoreColumn(name, labels, called, budget(labels), fractions[labels])


def budget(labels: float | str) -> str:
    """The name of a label budget in the table."""
    if isinstance(labels, str):
        return "oracle" if labels == ALL else f"mask {labels}"
    return f"{100 * labels:.10g}%"


def _row(
    results: Results, corpus: str, columns: Sequence[ScoreColumn], finished: Sequence[CellResult]
) -> Row:
    here = [cell for cell in finished if cell.corpus == corpus]
    normalized = all(c.evaluation and c.evaluation.normalized is not None for c in here)
    scores: dict[tuple[str, float | str], list[float]] = {}
    for cell in here:
        assert cell.evaluation is not None
        seen = cell.evaluation.normalized if normalized else cell.evaluation.return_mean
        assert seen is not None
        scores.setdefault((cell.algorithm, cell.labels), []).append(seen)
    found = [tuple(scores.get((c.algorithm, c.labels), ())) for c in columns]
    best = _best(columns, found)
    dataset, paper_numbers = results.study.corpora[corpus].paper, paper.table1()
    entries = []
    for column, each in zip(columns, found, strict=True):
        reported = None
        # a variant, which goes by another name, is none of the paper's
        if results.study.algorithms[column.algorithm].algorithm in (None, column.algorithm):
            reported = paper_numbers.get((dataset or "", column.algorithm, column.labels))
        is_best = bool(each) and printed(fmean(each)) == best.get(column.budget)
        entries.append(Entry(each, score.spread(each) if each else None, reported, is_best))
    return Row(corpus, normalized, tuple(entries))


def printed(value: float) -> str:
    """A score as it is printed."""
    return f"{value:.1f}"


def _best(columns: Sequence[ScoreColumn], found: Sequence[Sequence[float]]) -> Mapping[str, str]:
    """The highest mean of each label budget, as it is printed; oracles compete with nobody."""
    means: dict[str, list[float]] = {}
    for column, each in zip(columns, found, strict=True):
        if each and not column.oracle:
            means.setdefault(column.budget, []).append(fmean(each))
    # the best of one is no news
    return {name: printed(max(each)) for name, each in means.items() if len(each) > 1}


def _averages(rows: Sequence[Row], complete: Sequence[bool]) -> tuple[float | None, ...]:
    return tuple(
        fmean(fmean(row.entries[place].scores) for row in rows) if whole and rows else None
        for place, whole in enumerate(complete)
    )
