"""What a notebook shows of an object: tables in HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from lawm_data.system.terminal import text


def html_facts(facts: Mapping[str, Any], title: str) -> str:
    """A table of names and values, under a title."""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td style='text-align:left'>{escape(text(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><caption>{escape(title)}</caption>{rows}</table>"


def html_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table with a header."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(text(value))}</td>' for value in row)}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
