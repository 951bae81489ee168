"""The charts of the report as Vega-Lite specifications.

A colour that begins with ``--`` is a variable of the style sheet, which the page puts in, so that
charts follow the light or dark scheme. Names from the corpus are data, never names of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.table import LABEL_STATES
from lawm_data.inspection.report.lineage import groups

Spec = dict[str, Any]
STATES = [state.value for state in LABEL_STATES]
STATE_COLOR = {
    "type": "nominal",
    "scale": {"domain": STATES, "range": [f"--{state}" for state in STATES]},
    "legend": None,
}
MOST_POINTS = 4000
"""Points of the scatter plot; of a larger corpus every n-th trajectory is drawn."""
BINS = 40
"""Bins of a histogram, at most."""


class Histogram(NamedTuple):
    """How often the values of one dimension fall into equal bins."""

    edges: np.ndarray
    """(K+1,) float64."""
    counts: np.ndarray
    """(K,) int64."""


def histograms(
    blocks: Callable[[], Iterable[np.ndarray]], low: np.ndarray, high: np.ndarray
) -> list[Histogram]:
    """A histogram of each of D dimensions.

    Args:
        blocks: gives all rows, (n, D) at a time.
        low: (D,) smallest values.
        high: (D,) largest values; a constant gets one full bin in the middle.
    """
    width = np.where(high > low, high - low, 1.0)
    start = np.where(high > low, low, low - 0.5)
    counts = np.zeros((len(low), BINS), np.int64)
    for block in blocks():
        place = ((block - start) / width * BINS).astype(np.int64).clip(0, BINS - 1)
        for dimension, column in enumerate(place.T):
            counts[dimension] += np.bincount(column, minlength=BINS)
    steps = np.linspace(0, 1, BINS + 1)
    return [Histogram(start[d] + steps * width[d], counts[d]) for d in range(len(low))]


def nice_edges(low: float, high: float, most: int = BINS) -> np.ndarray:
    """Edges of at most ``most`` bins at round numbers that cover ``low`` to ``high``."""
    span = max(high - low, abs(high) * 1e-6, 1e-9)
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(power * m for m in (1, 2, 2.5, 5, 10, 20) if span / (power * m) <= most - 1)
    first, last = np.floor(low / step), np.floor(high / step) + 1
    return np.arange(first, last + 1) * step


def returns(view: Corpus) -> dict[str, Spec]:
    """A histogram of the returns of each group, as in Fig. 3 of the paper; one scale for all.

    Groups without rewards have none.
    """
    table = view.table
    found = {name: rows[table.rewarded[rows]] for name, rows in groups(view).items()}
    found = {name: rows for name, rows in found.items() if len(rows)}
    if not found:
        return {}
    recorded = table.episode_return[table.rewarded]
    edges = nice_edges(float(recorded.min()), float(recorded.max()))
    specs = {}
    for name, rows in found.items():
        values, most = [], np.histogram(table.episode_return[rows], edges)[0].max()
        for code, state in enumerate(STATES):
            some = table.episode_return[rows][table.labels[rows] == code]
            counts, _ = np.histogram(some, edges)
            values += [
                {"from": float(a), "to": float(b), "count": int(n), "state": state, "order": code}
                for a, b, n in zip(edges, edges[1:], counts, strict=False)
                if n
            ]
        specs[name] = {
            "description": f"Histogram of the returns of {len(rows)} trajectories: {name}",
            "width": "container",
            "height": 150 if len(found) > 1 else 220,
            "data": {"values": values},
            "mark": {"type": "bar", "binSpacing": 1},
            "encoding": {
                "x": _number("from", "return", bin="binned", scale={"domain": _ends(edges)}),
                "x2": {"field": "to"},
                "y": _number("count", "trajectories", axis=_whole(0, int(most), 4)),
                "color": {"field": "state", **STATE_COLOR},
                "order": {"field": "order"},
                "tooltip": _tooltip("from", "to", "count", "state"),
            },
        }
    return specs


def coverage(rows: Sequence[Mapping[str, Any]]) -> Spec:
    """Label states under each mask: rows of ``mask``, ``state``, ``trajectories``, ``share``."""
    names = list(dict.fromkeys(row["mask"] for row in rows))
    return {
        "description": "Share of the trajectories in each label state, for each mask",
        "width": "container",
        "height": 26 * len(names),
        "data": {"values": [{**row, "order": STATES.index(row["state"])} for row in rows]},
        "mark": {"type": "bar", "height": 14},
        "encoding": {
            "y": {
                "field": "mask",
                "type": "nominal",
                "sort": names,
                "title": None,
                "axis": {"labelLimit": 160, "ticks": False, "domain": False, "grid": False},
            },
            "x": _number(
                "share", "share of the trajectories", axis={"format": "%", "tickCount": 5}
            ),
            "color": {"field": "state", **STATE_COLOR},
            "order": {"field": "order"},
            "tooltip": [
                *_tooltip("mask", "state", "trajectories", "steps"),
                {"field": "share", "format": ".1%"},
            ],
        },
    }


def order(view: Corpus) -> Spec:
    """Return of every trajectory in the order of collection, with a running median."""
    view = view.filter(view.table.rewarded)
    view = view[np.argsort(view.index.position)]
    table, place = view.table, view.index.position
    some = np.unique(np.linspace(0, len(view) - 1, min(len(view), MOST_POINTS)).astype(int))
    source = table.source
    points = [
        {
            "place": int(place[i]),
            "return": round(float(table.episode_return[i]), 3),
            "state": STATES[table.labels[i]],
            "source": str(source[i]),
            "id": str(table.id[i]),
        }
        for i in some.tolist()
    ]
    reach = max(2, len(view) // 40)
    median = [
        {
            "place": int(place[i]),
            "median": float(np.median(table.episode_return[max(0, i - reach) : i + reach + 1])),
        }
        for i in np.unique(np.linspace(0, len(view) - 1, min(len(view), 200)).astype(int)).tolist()
    ]
    x = _number(
        "place",
        "trajectory, in the order of collection",
        scale={"nice": False, "zero": False},
        axis=_whole(int(place[0]), int(place[-1]), 8),
    )
    return {
        "description": "Return of each trajectory in the order of collection",
        "width": "container",
        "height": 240,
        "layer": [
            {
                "data": {"values": points},
                "mark": {"type": "circle", "size": 24, "opacity": 0.8, "cursor": "pointer"},
                "encoding": {
                    "x": x,
                    "y": _number("return", "return"),
                    "color": {"field": "state", **STATE_COLOR},
                    "tooltip": _tooltip("place", "return", "state", "source", "id"),
                },
            },
            {
                "data": {"values": median},
                "mark": {"type": "line", "color": "--ink", "strokeWidth": 1.5},
                "encoding": {"x": x, "y": _number("median", "return")},
            },
        ],
    }


def dimension(name: str, found: Histogram, color: str) -> Spec:
    """The distribution of one dimension of the observations or actions."""
    total = max(int(found.counts.sum()), 1)
    bars = zip(found.edges, found.edges[1:], found.counts, strict=False)
    return {
        "description": f"Distribution of {name}",
        "width": "container",
        "height": 64,
        "data": {
            "values": [
                {"from": float(a), "to": float(b), "share": float(n / total)} for a, b, n in bars
            ]
        },
        "mark": {"type": "bar", "binSpacing": 0, "color": color},
        "encoding": {
            "x": _number(
                "from",
                None,
                bin="binned",
                scale={"domain": _ends(found.edges), "nice": False, "zero": False},
                axis={
                    "grid": False,
                    "values": _ends(found.edges),
                    "format": ".3~g",
                    "labelFlush": True,
                },
            ),
            "x2": {"field": "to"},
            "y": _number("share", None, axis=None),
            "tooltip": [
                {"field": "from", "format": ".4~g"},
                {"field": "to", "format": ".4~g"},
                {"field": "share", "format": ".2%"},
            ],
        },
    }


def signals(panels: Sequence[Mapping[str, Any]], longest: int) -> Spec:
    """Signals over time, one panel below the other; the page fills in the data sets.

    Args:
        panels: ``title``, ``kind`` and the range ``low`` to ``high`` of each.
        longest: steps of the longest trajectory.
    """
    x = _number("t", None, scale={"domain": [0, longest], "nice": False})
    ribbon = {
        "data": {"name": "runs"},
        "height": 7,
        "title": _title("label state of the actions"),
        "mark": {"type": "rect"},
        "encoding": {
            "x": {**x, "field": "from", "axis": None},
            "x2": {"field": "to"},
            "color": {"field": "state", **STATE_COLOR},
            "tooltip": _tooltip("state", "from", "to"),
        },
    }
    drawn = []
    for number, panel in enumerate(panels):
        if panel["kind"] == "action" and ribbon not in drawn:
            drawn.append(ribbon)
        drawn.append(_panel(number, panel, x))
    drawn[-1]["layer"][0]["encoding"]["x"]["axis"] = {"title": "step", "grid": False}
    return {
        "description": "Reward, actions and observations of the chosen trajectory over time",
        "params": [{"name": "time", "value": 0}],
        "spacing": 14,
        "vconcat": drawn,
        "resolve": {"scale": {"x": "shared", "color": "independent"}},
    }


def _panel(number: int, panel: Mapping[str, Any], x: Spec) -> Spec:
    low, high = panel["low"], panel["high"]
    margin = 0.04 * (high - low) or 1.0
    value = _number(
        "v",
        None,
        scale={"domain": [low - margin, high + margin], "nice": False, "zero": False},
        axis={"tickCount": 2, "minExtent": 40, "maxExtent": 40, "format": ".3~g"},
    )
    color: Spec = {"value": "--ink"}
    if panel["kind"] == "action":
        color = {"field": "state", **STATE_COLOR}
    elif panel["kind"] == "observation":
        color = {"field": "name", "type": "nominal", "legend": None}
    here = {"transform": [{"filter": "datum.t == time"}]}
    return {
        "data": {"name": f"panel{number}"},
        "height": 40 if len(panel["names"]) == 1 else 72 if len(panel["names"]) < 8 else 110,
        "title": _title(panel["title"]),
        "layer": [
            {
                "mark": {"type": "line", "strokeWidth": 1.2, "clip": True},
                "encoding": {
                    "x": {**x, "axis": {"labels": False, "ticks": False, "grid": False}},
                    "y": value,
                    "color": color,
                    "detail": [{"field": "name"}, {"field": "run"}],
                    "tooltip": {"field": "name"},
                },
            },
            {
                **here,
                "mark": {"type": "point", "filled": True, "size": 26, "opacity": 1},
                "encoding": {
                    "x": x,
                    "y": value,
                    "color": color,
                    "tooltip": [{"field": "name"}, {"field": "v", "format": ".4~g"}],
                },
            },
            {
                "data": {"values": [{}]},
                "mark": {"type": "rule", "color": "--soft"},
                "encoding": {"x": {"datum": {"expr": "time"}, "type": "quantitative"}},
            },
        ],
    }


def _title(text: str) -> Spec:
    return {"text": text, "anchor": "start", "offset": 3}


def _whole(low: int, high: int, most: int) -> Spec:
    """An axis with about so many ticks, at whole numbers; Vega's own may lie between them."""
    steps = (factor * 10**power for power in range(18) for factor in (1, 2, 5))
    step = next(step for step in steps if (high - low) / step <= most)
    return {"values": list(range(-(-low // step) * step, high + 1, step)), "format": ",d"}


def _ends(edges: np.ndarray) -> list[float]:
    return [float(edges[0]), float(edges[-1])]


def _number(field: str, title: str | None, **more: Any) -> Spec:
    return {"field": field, "type": "quantitative", "title": title, **more}


def _tooltip(*fields: str) -> list[Spec]:
    return [{"field": field} for field in fields]
