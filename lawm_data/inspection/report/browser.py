"""The trajectories that the report shows one by one, packed small."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from lawm_schemas import Manifest

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.layout import element_names
from lawm_data.corpus.table import MISSING
from lawm_data.corpus.trajectory import Trajectory

MOST_ROWS = 300
"""Time points kept of a trajectory; a longer one is thinned evenly."""
MOST_SIGNALS = 128
"""Signals kept; what is beyond is not drawn."""
ABSENT = 65535
"""Code of a number that is not there."""


class Panel(NamedTuple):
    """Signals drawn on one pair of axes."""

    title: str
    kind: str
    """``reward``, ``action`` or ``observation``."""
    names: tuple[str, ...]


def choose(view: Corpus, most: int) -> np.ndarray:
    """Places of at most so many trajectories, evenly spread over the returns.

    The worst and the best are among them. Those without recorded rewards get their share, evenly
    spread over the corpus.
    """
    if len(view) <= most:
        return np.arange(len(view))
    ranked = np.argsort(view.table.episode_return, kind="stable")
    rewarded = view.table.rewarded[ranked]
    known, unknown = ranked[rewarded], np.sort(ranked[~rewarded])
    count = max(round(most * rewarded.mean()), min(2, most, len(known)))
    return np.sort(np.concatenate([_spread(known, count), _spread(unknown, most - count)]))


def _spread(places: np.ndarray, count: int) -> np.ndarray:
    """So many of them, evenly spread; a single one is the last."""
    if count < 2:
        return places[len(places) - count :]
    return places[np.linspace(0, len(places) - 1, count).round().astype(int)]


def panels(manifest: Manifest, rewarded: bool) -> list[Panel]:
    """The reward, if there is one, every dimension of the action, and every state field."""
    action = manifest.action
    found = [Panel("reward", "reward", ("reward",))] if rewarded else []
    found += [Panel(name, "action", (name,)) for name in element_names(action)]
    for spec in manifest.state:
        title = spec.name if spec.size == 1 else f"{spec.name}, {spec.size} dimensions"
        found.append(Panel(title, "observation", tuple(element_names(spec))))
    kept, count = [], 0
    for panel in found:
        count += len(panel.names)
        if count <= MOST_SIGNALS:
            kept.append(panel)
    return kept


def pack(view: Corpus, places: np.ndarray, group_of: Mapping[int, str]) -> dict[str, Any]:
    """All that the browser needs, as plain data.

    A number is kept in 16 bits between the smallest and the largest of its signal: far finer than
    a screen. Actions come from the view, so what a mask hides is not among them.

    Args:
        view: the view.
        places: (n,) trajectories to keep.
        group_of: name of the group of each place.
    """
    manifest = view.manifest
    rewarded = bool(view.table.rewarded[places].any())
    drawn = panels(manifest, rewarded)
    width, first = sum(len(panel.names) for panel in drawn), 0 if rewarded else 1
    kept, about = [], []
    for i in places.tolist():
        trajectory = view[i]
        stride = -(-(len(trajectory) + 1) // MOST_ROWS)
        kept.append(_signals(trajectory, manifest.action.size)[::stride, first : first + width])
        facts = _facts(trajectory, int(view.index.position[i]))
        runs = [(state.value, first, end) for state, first, end in trajectory.label_runs()]
        about.append({**facts, "group": group_of[i], "stride": stride, "runs": runs})
    rows = np.concatenate(kept)
    known = np.isfinite(rows)
    low = np.where(known, rows, np.inf).min(0)
    high = np.where(known, rows, -np.inf).max(0)
    # a signal that is nowhere, as an action that is always hidden, gets some range
    low, high = np.where(low > high, 0, low), np.where(low > high, 1, high)
    trajectories = [
        {**facts, "data": _encode(signals, low, high)}
        for facts, signals in zip(about, kept, strict=True)
    ]
    return {
        "panels": _ranges(drawn, low, high),
        "low": low.tolist(),
        "high": high.tolist(),
        "longest": int(view.table.length[places].max()),
        "trajectories": trajectories,
    }


def _signals(trajectory: Trajectory, size: int) -> np.ndarray:
    """Reward, actions and state of each step, (T+1, D) float64; NaN where there is none."""
    steps = len(trajectory)
    taken = np.full((steps + 1, 1 + size), np.nan)
    if trajectory.is_rewarded:
        taken[:-1, 0] = trajectory.rewards
    if trajectory.actions is not None:
        known = trajectory.step_labels != MISSING
        taken[:-1, 1:][known] = trajectory.actions.reshape(steps, size)[known]
    return np.concatenate([taken, trajectory.observations.state], axis=1, dtype=np.float64)


def _facts(trajectory: Trajectory, position: int) -> dict[str, Any]:
    info = trajectory.info
    return {
        "id": info.id,
        "place": position,
        "return": round(info.episode_return, 3) if trajectory.is_rewarded else None,
        "length": info.length,
        "state": info.labels.value,
        "source": info.source,
        "seed": None if info.seed is None else str(info.seed),  # JavaScript would round it
        "agent_step": info.agent_step,
        "end": "terminated" if info.terminated else "truncated" if info.truncated else None,
    }


def _encode(signals: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    """Base64 of (n, D) uint16, little-endian."""
    scaled = (signals - low) / np.where(high > low, high - low, 1) * (ABSENT - 1)
    codes = np.where(np.isfinite(signals), scaled, ABSENT).round().astype("<u2")
    return base64.b64encode(codes.tobytes()).decode("ascii")


def _ranges(drawn: Sequence[Panel], low: np.ndarray, high: np.ndarray) -> list[dict[str, Any]]:
    """The panels with the range of their signals."""
    ranges, column = [], 0
    for panel in drawn:
        part = slice(column, column := column + len(panel.names))
        ends = {"low": float(low[part].min()), "high": float(high[part].max())}
        ranges.append({**panel._asdict(), **ends})
    return ranges
