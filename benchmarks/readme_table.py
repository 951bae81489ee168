"""Fill the tables of the documents from the files in ``benchmarks/results``.

In ``README.md`` and ``docs/*.md``, what stands between ``<!-- KIND: WORDS -->`` and
``<!-- end of table -->`` is made anew. Files are named without folder and ``.json``.

    seeds: FILE NAME …           algorithms of studies, by corpus; / stands before another FILE
    pairs: FILE LABELS ONE OTHER one algorithm minus another in pairs of runs; one line each
    errors: FILE …               errors of world models on trajectories without actions
    inferred: FILE               errors of inferred actions

python benchmarks/readme_table.py            # writes the documents
python benchmarks/readme_table.py --check    # exit 1 when one would change
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from lawm_schemas import Results

from lawm_models.studies.markdown import p_text, signed
from lawm_models.studies.pairs import difference
from lawm_models.studies.table import Entry, make_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PLACE = re.compile(
    r"(?P<begin><!-- (?P<kind>[a-z]+):(?P<words>[^>]*?)-->\n).*?(?P<end><!-- end of table -->)",
    re.DOTALL,
)
FEW = 6
"""Pairs from which on a sign-flip test can come below 0.05."""
NAMES = {
    "lawm": "LAWM",
    "lawm_plus": "LAWM+",
    "clap": "C-LAP",
    "idm_td3_bc": "inverse dynamics of IDM-TD3+BC",
}


def main() -> None:
    """Write or check the documents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    changed = {path: text for path in documents() if (text := filled(read(path))) != read(path)}
    if check:
        sys.exit(", ".join(str(path.relative_to(ROOT)) for path in changed) or 0)
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8")


def documents() -> list[Path]:
    """Everything that may have a table in it."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def read(path: Path) -> str:
    """A document as it is."""
    return path.read_text(encoding="utf-8")


def filled(text: str, folder: Path = RESULTS) -> str:
    """A text with its tables made anew from the files of a folder."""

    def table(found: re.Match[str]) -> str:
        lines = KINDS[found["kind"]](found["words"].strip(), folder)
        return f"{found['begin']}{chr(10).join(lines)}\n{found['end']}"

    return PLACE.sub(table, text)


def seeds(words: str, folder: Path) -> Iterable[str]:
    """Algorithms by corpus: mean, worst and best seed, and in italics what the paper reports."""
    parts = [part.split() for part in words.split(" / ")]
    tables = [make_table(_results(folder / f"{name}.json")) for name, *_ in parts]
    chosen = [
        (table, place)
        for table, (_, *names) in zip(tables, parts, strict=True)
        for place, column in enumerate(table.columns)
        if column.algorithm in names or not names
    ]
    corpora = [row.corpus for row in tables[0].rows]
    best = [
        max(
            _mean(table.rows[row].entries[place])
            for table, place in chosen
            if not table.columns[place].oracle
        )
        for row in range(len(corpora))
    ]
    many = len(corpora) > 1
    yield from _head(["", *corpora, *(["average"] if many else [])])
    for table, place in chosen:
        column, average = table.columns[place], table.averages[place]
        cells = [
            _seeds_of(row.entries[place], math.nan if column.oracle else best[number])
            for number, row in enumerate(table.rows)
        ]
        mean = [f"{average:.1f}"] if many and average is not None else []
        yield _line([column.heading, *cells, *mean])
    yield ""
    yield ", ".join(f"`{table.command}`" for table in tables)


def pairs(words: str, folder: Path) -> Iterable[str]:
    """Paired differences, one line of the words each."""
    yield from _head(["", "study", "difference", "ahead", "p"])
    for line in words.splitlines():
        name, labels, one, other = line.split()
        results = _results(folder / f"{name}.json")
        titles = {column.algorithm: column.title for column in make_table(results).columns}
        found = difference(results, one, other, float(labels))
        p = "–" if len(found.pairs) < FEW else p_text(found)
        ahead = f"{found.ahead} of {len(found.pairs)}"
        line = [f"{titles[one]} − {titles[other]}", f"`{name}`", signed(found.mean), ahead, p]
        yield _line(line)


def errors(words: str, folder: Path) -> Iterable[str]:
    """Errors of predicting one step from step 64 on, of seed 0."""
    algorithms = ("clap", "lawm", "lawm_plus")
    yield from _head(["corpus", "labels", *(NAMES[name] for name in algorithms)])
    for name in words.split():
        rows: dict[tuple[str, int], dict[str, float]] = {}
        for run in json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["runs"]:
            corpus, cell = run["run"].split("/")[-2:]
            if "seed0" in cell:  # variants of a policy have the same world model
                row = rows.setdefault((corpus, run["labeled"]), {})
                row.setdefault(run["algorithm"], run["on_data"]["64-499"]["error"])
        for (corpus, labeled), row in rows.items():
            shown = [f"{row[one]:.3f}" if one in row else "–" for one in algorithms]
            yield _line([corpus, f"{labeled:,}", *shown])


def inferred(words: str, folder: Path) -> Iterable[str]:
    """Errors of inferred actions, from ``benchmarks/relabeling.py``."""
    results = json.loads((folder / f"{words}.json").read_text(encoding="utf-8"))
    yield from _head(["by", "labels", "R²", "RMSE", "NLL", "in 95%"])
    for corpus in results["corpora"].values():
        for row in corpus.values():
            how = ", smoothing" if row["method"] == "smoothing" else ""
            figures = [row[key] for key in ("r2", "rmse", "nll")]
            figures.append(row["coverage"]["95"])
            shown = ["–" if value is None else f"{value:.2f}" for value in figures]
            yield _line([f"{NAMES[row['algorithm']]}{how}", str(row["labeled"]), *shown])


KINDS: dict[str, Callable[[str, Path], Iterable[str]]] = {
    "seeds": seeds,
    "pairs": pairs,
    "errors": errors,
    "inferred": inferred,
}


@cache
def _results(path: Path) -> Results:
    return Results.read_json(path)


def _seeds_of(entry: Entry, best: float) -> str:
    """The mean, bold when it is the best, worst and best seed; in italics the paper's mean."""
    if entry.spread is None:
        return "–"
    seeds = "–".join(f"{score:.0f}" for score in (min(entry.scores), max(entry.scores)))
    mean = f"{entry.spread.mean:.1f}"
    paper = f" *{entry.reported.mean:.1f}*" if entry.reported else ""
    return f"{f'**{mean}**' if mean == f'{best:.1f}' else mean} ({seeds}){paper}"


def _mean(entry: Entry) -> float:
    return entry.spread.mean if entry.spread else -math.inf


def _head(names: Sequence[str]) -> Iterable[str]:
    yield _line(names)
    yield _line(["---", *("--:" for _ in names[1:])])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
