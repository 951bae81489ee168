"""A table of results as one HTML page, pictures included."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files

from lawm_models.studies.markdown import (
    body,
    caption,
    compared_caption,
    compared_grid,
    summaries,
)
from lawm_models.studies.table import ScoreTable

STYLE = """
td.oracle, th.oracle { color: var(--soft); }
tr.paper td, tr.paper th { color: var(--soft); font-size: .8rem; }
tbody tr.first td, tbody tr.first th { border-top: 2px solid var(--line); }
img { max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
"""


def web_page(table: ScoreTable, pictures: Mapping[str, bytes]) -> str:
    """The whole page.

    Args:
        table: what it shows.
        pictures: PNG files by their captions.
    """
    style = (files("lawm_data.inspection.report") / "page.css").read_text(encoding="utf-8") + STYLE
    lead = f'<p class="lead">{escape(table.description)}</p>' if table.description else ""
    shown = "\n".join(
        f'<figure><img src="data:image/png;base64,{b64encode(picture).decode()}" '
        f'alt="{escape(text)}"><figcaption>{escape(text)}</figcaption></figure>'
        for text, picture in pictures.items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(table.name)}</title>
<style>{style}</style>
</head>
<body>
<p class="kind">study</p>
<h1>{escape(table.name)}</h1>
{lead}
<section>
<div class="scroll"><table>
<thead>{"".join(_header(table))}</thead>
<tbody>
{chr(10).join(_body(table))}
</tbody>
</table></div>
<p class="note">{_inline(caption(table))}</p>
</section>
{_compared(table)}<section>
{shown}
</section>
</body>
</html>
"""


def _compared(table: ScoreTable) -> str:
    """A section of the differences in pairs, or nothing."""
    if table.against is None:
        return ""

    def row(cells: Iterable[str], kind: str) -> str:
        first, *rest = map(escape, cells)
        data = "".join(f"<{kind}>{cell}</{kind}>" for cell in rest)
        return f"<tr><th>{first}</th>{data}</tr>"

    head, *rows = compared_grid(table)
    return f"""<section>
<div class="scroll"><table>
<thead>{row(head, "th")}</thead>
<tbody>
{chr(10).join(row(cells, "td") for cells in rows)}
</tbody>
</table></div>
<p class="note">{escape(compared_caption(table))}</p>
</section>
"""


def _header(table: ScoreTable) -> Iterable[str]:
    """Two rows, as in the paper: budgets, and algorithms below."""
    budgets = table.budgets()
    spans = (f'<th colspan="{len(places)}">{escape(name)}</th>' for name, places in budgets)
    yield f"<tr><th></th>{''.join(spans)}</tr>"
    names = (f"<th{_kind(column.oracle)}>{escape(column.title)}</th>" for column in table.columns)
    yield f"<tr><th>corpus</th>{''.join(names)}</tr>"


def _body(table: ScoreTable) -> Iterable[str]:
    below = next(iter(summaries(table)))[0]
    for name, *cells in body(table):
        paper = name.startswith("*")
        kind = ' class="first"' if name == below else ' class="paper"' if paper else ""
        data = (
            f"<td{_kind(column.oracle)}>{_inline(cell)}</td>"
            for column, cell in zip(table.columns, cells, strict=True)
        )
        yield f"<tr{kind}><th>{_inline(name)}</th>{''.join(data)}</tr>"


def _kind(oracle: bool) -> str:
    return ' class="oracle"' if oracle else ""


def _inline(text: str) -> str:
    """The little Markdown that the cells have."""
    text = escape(text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"\*(.+?)\*", r"\1", text)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)
