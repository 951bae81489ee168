"""What notebooks show: small tables as HTML. Everything that is not ``Html`` is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from lawm_data.system.formatting import text

CELL = "padding:.15em .9em .15em 0;vertical-align:top;text-align:"
LONGEST = 200
"""Characters of a value; a longer one is cut."""
NARROW = 40
"""Characters of a value that stands beside many."""
MOST_ROWS, ENDS = 60, 5
"""Rows of a table that are shown, and how many from either end of a longer one."""


class Html(str):
    """Text that is HTML already, with nothing in it that was not escaped."""


def facts(title: str, rows: Mapping[str, Any]) -> Html:
    """A title, and a table of names and values; what is None is left out."""
    body = "".join(
        f'<tr><td style="{CELL}left;opacity:.65">{escape(name)}</td>'
        f'<td style="{CELL}left">{_cell(value)}</td></tr>'
        for name, value in rows.items()
        if value is not None
    )
    return Html(f"<div><b>{_cell(title)}</b><table>{body}</table></div>")


def grid(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table with a header; numbers stand on the right, and of many rows the ends are shown."""
    rows = [list(row) for row in rows]
    if len(rows) > MOST_ROWS:
        rows[ENDS:-ENDS] = [["…", *[""] * (len(columns) - 1)]]
    sides = [
        "right" if any(type(row[i]) in (int, float) for row in rows) else "left"
        for i in range(len(columns))
    ]
    head = "".join(
        f'<th style="{CELL}{side};font-weight:normal;opacity:.65">{escape(column)}</th>'
        for column, side in zip(columns, sides, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{CELL}{side}">{_cell(value, NARROW)}</td>'
            for value, side in zip(row, sides, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def shares(parts: Mapping[str, int], colors: Mapping[str, str]) -> Html:
    """A bar divided by the parts, and their names and sizes; parts of nothing are left out."""
    parts, total = {name: n for name, n in parts.items() if n}, sum(parts.values())
    bar = "".join(
        f'<span style="display:inline-block;height:.6em;width:{12 * n / total:.2f}em;'
        f'background:{colors[name]}"></span>'
        for name, n in parts.items()
    )
    words = ", ".join(f"{n:,} {escape(name)}" for name, n in parts.items())
    return Html(f"{bar}<br>{words}" if parts else "none")


def _cell(value: Any, most: int = LONGEST) -> str:
    if isinstance(value, Html):
        return value
    shown = text(value)
    return escape(shown if len(shown) <= most else f"{shown[: most - 1]}…")
