"""Write the tables between the README's result markers from the files in ``benchmarks/results``.

python benchmarks/readme_table.py            # writes README.md
python benchmarks/readme_table.py --check    # exit 1 when it would change
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
NAMES = {"lawm": "LAWM", "bc": "behaviour cloning"}


def main() -> None:
    """Write or check the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    path = ROOT / "README.md"
    before = path.read_text(encoding="utf-8")
    after = with_tables(before)
    if check:
        sys.exit(before != after)
    path.write_text(after, encoding="utf-8")


def with_tables(text: str) -> str:
    """The README with its tables made anew."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{tables()}\n{END}{tail}"


def tables() -> str:
    """Every result that there is."""
    parts = [
        labels("demo", "cartpole-swingup, the corpus in the package"),
        labels("walker", "walker-walk, the history of one Dreamer run"),
    ]
    return "\n\n".join(part for part in parts if part)


def labels(name: str, title: str) -> str:
    """Returns against labels, from ``benchmarks/labels.py``."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return ""
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
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
