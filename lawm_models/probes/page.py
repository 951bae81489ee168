"""The table as one HTML page, with its definitions and pictures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from html import escape
from importlib.resources import files

import numpy as np

from lawm_data.system.colors import GREY, SERIES
from lawm_data.system.figures import Picture, image, new_figure
from lawm_models.probes.columns._protocol import Column
from lawm_models.probes.result import Latents, Line, Probe, figure

STYLE = """
tr.anchor td, tr.anchor th { color: var(--soft); }
tbody tr.first td, tbody tr.first th { border-top: 2px solid var(--line); }
td.text { text-align: left; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
"""
PANELS = 4
"""In a row."""
DIGITS = 2


def shown_columns(probe: Probe) -> list[Column]:
    """Columns of the table in which something stands."""
    filled = {name for line in probe.lines for name in line.values}
    return [column for column in probe.columns if column.shown and column.name in filled]


def cell(line: Line, column: Column) -> str:
    """Mean ± sample standard deviation over seeds, of two both; a dash where there is none."""
    values = line.values.get(column.name)
    if values is None:
        return "–"
    found = figure(values)
    mean = f"{found['mean']:.{DIGITS}f}"
    if found["std"] is not None:
        return f"{mean} ± {found['std']:.{DIGITS}f}"
    each = ", ".join(f"{value:.{DIGITS}f}" for value in values)
    return mean if len(values) == 1 else f"{mean} ({each})"


def web_page(probe: Probe) -> str:
    """The whole page."""
    style = (files("lawm_data.inspection.report") / "page.css").read_text(encoding="utf-8") + STYLE
    columns = shown_columns(probe)
    head = "".join(f"<th>{escape(column.title)}</th>" for column in columns)
    seen = "have seen none of them" if probe.division.by == "hash" else "have not seen"
    mask = "all labels" if probe.mask is None else f"the labels of mask {probe.mask}"
    lead = (
        f"{len(probe.division.judged):,} held-out trajectories, which the runs {seen}; "
        f"{probe.transitions:,} transitions of them. Anchors and probes learned from {probe.fit:,} "
        f"others, with {mask} ({probe.labeled:,} trajectories)."
    )
    shown = "\n".join(
        f'<figure><img src="data:image/png;base64,{b64encode(image(picture)).decode()}" '
        f'alt="{escape(text)}"><figcaption>{escape(text)}</figcaption></figure>'
        for text, picture in _pictures(probe, columns)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Latent actions on {escape(probe.corpus)}</title>
<style>{style}</style>
</head>
<body>
<p class="kind">probe</p>
<h1>Latent actions on {escape(probe.corpus)}</h1>
<p class="lead">{escape(lead)}</p>
<section>
<div class="scroll"><table>
<thead><tr><th></th>{head}</tr></thead>
<tbody>
{chr(10).join(_rows(probe, columns))}
</tbody>
</table></div>
</section>
<section>
{shown}
</section>
<section>
<h2>What the columns are</h2>
<div class="scroll"><table>
<thead><tr><th></th><th>definition</th><th>range</th><th>what it does not say</th></tr></thead>
<tbody>
{chr(10).join(_definitions(columns))}
</tbody>
</table></div>
</section>
</body>
</html>
"""


def _rows(probe: Probe, columns: list[Column]) -> Iterable[str]:
    before = "run"
    for line in probe.lines:
        kinds = ["anchor"] if line.kind != "run" else []
        kinds += ["first"] if line.kind != "run" and before == "run" else []
        before = line.kind
        data = "".join(f"<td>{escape(cell(line, column))}</td>" for column in columns)
        yield f'<tr class="{" ".join(kinds)}"><th>{escape(line.name)}</th>{data}</tr>'


def _definitions(columns: list[Column]) -> Iterable[str]:
    for column in columns:
        texts = (column.definition, column.range, column.silent)
        data = "".join(f'<td class="text">{escape(text)}</td>' for text in texts)
        yield f"<tr><th>{escape(column.title)}</th>{data}</tr>"


def _pictures(probe: Probe, columns: list[Column]) -> Iterable[tuple[str, Picture]]:
    yield (
        "Every figure, runs in color and anchors in grey; lines are one standard deviation, of "
        "three seeds or more.",
        (_bars(probe, columns)),
    )
    for x, y in (("capacity", "transfer_gain"), ("error", "leak")):
        drawn = _frontier(probe, x, y)
        if drawn is not None:
            yield drawn
    maps = [(name, found) for name, found in probe.latents.items() if found.latent.shape[1]]
    if maps:
        text = "The first two principal components of latent actions, by the first true action."
        yield text, _maps(maps)


def _color(probe: Probe, line: Line) -> str:
    runs = [other.name for other in probe.lines if other.kind == "run"]
    return SERIES[runs.index(line.name) % len(SERIES)] if line.kind == "run" else GREY


def _bars(probe: Probe, columns: list[Column]) -> Picture:
    lines = probe.lines[::-1]
    across = min(PANELS, len(columns))
    down = -(-len(columns) // across)
    drawn = new_figure(2.2 + 2.0 * across, down * (0.9 + 0.22 * len(lines)))
    panels = np.ravel(drawn.subplots(down, across, sharey=True, squeeze=False))
    for axes, column in zip(panels, columns, strict=False):
        for place, line in enumerate(lines):
            if column.name in line.values:
                found = figure(line.values[column.name])
                axes.barh(place, found["mean"], 0.7, color=_color(probe, line))
                spread = found["std"] or 0
                low, high = found["mean"] - spread, found["mean"] + spread
                axes.plot([low, high], [place, place], color="black", linewidth=1)
        axes.set_title(column.title, loc="left", fontsize="medium")
        axes.set_yticks(range(len(lines)), [line.name for line in lines], fontsize="small")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    return drawn


def _frontier(probe: Probe, x: str, y: str) -> tuple[str, Picture] | None:
    """One figure against another, of rows that have both; none where only anchors do."""
    lines = [line for line in probe.lines if x in line.values and y in line.values]
    if not any(line.kind == "run" for line in lines):
        return None
    titles = {column.name: column.title for column in probe.columns}
    drawn = new_figure(6, 4)
    axes = drawn.subplots()
    for line in lines:
        place = (figure(line.values[x])["mean"], figure(line.values[y])["mean"])
        axes.plot(*place, "o", color=_color(probe, line))
        axes.annotate(line.name, place, (5, 3), textcoords="offset points", fontsize="small")
    axes.margins(x=0.25, y=0.1)
    axes.set_xlabel(titles[x])
    axes.set_ylabel(titles[y])
    axes.spines[["top", "right"]].set_visible(False)
    return f"{titles[y]} against {titles[x]}.".capitalize(), drawn


def _maps(maps: list[tuple[str, Latents]]) -> Picture:
    drawn = new_figure(3.2 * len(maps) + 0.8, 3)
    for axes, (name, found) in zip(
        drawn.subplots(1, len(maps), squeeze=False)[0], maps, strict=True
    ):
        latent = found.latent.double().numpy()
        centered = latent - latent.mean(0)
        axes_of_most = np.linalg.svd(centered, full_matrices=False)[2][:2]
        x, y = (*(centered @ axes_of_most.T).T, np.zeros(len(latent)))[:2]
        known = found.known.numpy()
        colors = found.action[:, 0].numpy() if known.any() else np.zeros(len(latent))
        axes.scatter(x, y, s=3, c=colors, cmap="coolwarm", linewidths=0, rasterized=True)
        axes.set_title(name, loc="left", fontsize="medium")
        axes.spines[["top", "right"]].set_visible(False)
    return drawn
