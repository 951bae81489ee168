"""Fill the tables of the documents from the files in ``benchmarks/results``.

In ``README.md`` and ``docs/*.md``, what stands between ``<!-- table: FILE -->`` and
``<!-- end of table -->`` is made from FILE, the results of a study. The README's table of the demo
stands between result markers.

python benchmarks/readme_table.py            # writes the documents
python benchmarks/readme_table.py --check    # exit 1 when one would change
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from lawm_schemas import Results

from lawm_models.studies.markdown import markdown
from lawm_models.studies.table import make_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
STUDY = re.compile(
    r"(?P<begin><!-- table: (?P<file>\S+) -->\n).*?(?P<end><!-- end of table -->)", re.DOTALL
)
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
NAMES = {"lawm": "LAWM", "bc": "behaviour cloning"}


def main() -> None:
    """Write or check the documents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    changed = {path: text for path in documents() if (text := filled(path)) != read(path)}
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


def filled(path: Path) -> str:
    """A document with its tables made anew."""
    text = with_studies(read(path), ROOT)
    return with_tables(text) if BEGIN in text else text


def with_studies(text: str, root: Path) -> str:
    """A text with the tables of its studies made anew; their files are relative to ``root``."""

    def table(found: re.Match[str]) -> str:
        results = Results.read_json(root / found["file"])
        return f"{found['begin']}{markdown(make_table(results))}{found['end']}"

    return STUDY.sub(table, text)


def with_tables(text: str) -> str:
    """The README with the table of the demo made anew."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{tables()}\n{END}{tail}"


def tables() -> str:
    """What the README shows of ``benchmarks/labels.py``."""
    return labels("demo", "cartpole-swingup, the corpus in the package")


def labels(name: str, title: str) -> str:
    """Returns against labels, from ``benchmarks/labels.py``."""
    text = (RESULTS / f"{name}.json").read_text(encoding="utf-8")
    result: dict[str, Any] = json.loads(text)
    corpus, cells = result["corpus"], result["cells"]
    lines = [
        f"**{title}**: {corpus['trajectories']} trajectories, mean return "
        f"{corpus['return_mean']:.0f}, best {corpus['return_max']:.0f}; "
        f"preset `{result['preset']}`.",
        "",
        "| method | labeled trajectories | return, mean ± std over seeds | each seed |",
        "|---|---|---|---|",
        *(row(name, cell, corpus["trajectories"]) for name, cell in cells.items()),
        "",
        f"`{result['command']}`",
    ]
    return "\n".join(lines)


def row(name: str, cell: dict[str, Any], total: int) -> str:
    """One line of a table."""
    algorithm, percent = name.rsplit("-", 1)
    each = ", ".join(f"{value:.0f}" for value in cell["returns"])
    return (
        f"| {NAMES[algorithm]} | {cell['labeled'][0]} of {total} ({percent}%) "
        f"| {cell['return_mean']:.0f} ± {cell['return_std_over_seeds']:.0f} | {each} |"
    )


if __name__ == "__main__":
    main()
