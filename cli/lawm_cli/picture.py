"""Pictures of a run and of its labels: returns, and true against inferred actions."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lawm_data.system.colors import BLUE, GREY, ORANGE, SERIES
from lawm_data.system.figures import POINTS, new_figure, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RETURN = ("return_mean", "return_std")
"""Keys of an evaluation in ``metrics.jsonl``."""
DOTTED: dict[str, Any] = {"marker": "o", "markersize": 4, "clip_on": False}
"""A line through points, none of which is cut by the frame."""


class Curve(NamedTuple):
    """Returns of the policy while it was trained, K evaluations."""

    step: np.ndarray
    """(K,) gradient steps of the agent."""
    mean: np.ndarray
    """(K,) mean return over the episodes of an evaluation."""
    std: np.ndarray
    """(K,) standard deviation over those episodes."""


class Actions(NamedTuple):
    """Withheld actions and what the model made of them, M steps of A dimensions."""

    true: np.ndarray
    """(M, A) recorded, never shown to the model."""
    inferred: np.ndarray
    """(M, A) from observations alone."""


def draw(
    path: Path,
    title: str,
    curve: Curve,
    corpus: np.ndarray,
    actions: Actions,
    r2: float | None,
) -> None:
    """Write the picture; the ending of the file says how.

    Args:
        path: file to write.
        title: what was trained on what.
        curve: returns while training.
        corpus: returns of the trajectories in the corpus, for comparison.
        actions: true and inferred.
        r2: share of the variance of the true actions that is explained.
    """
    figure = new_figure(9, 4)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    low, high = curve.mean - curve.std, curve.mean + curve.std
    left.fill_between(curve.step, low, high, color=BLUE, alpha=0.15, linewidth=0)
    left.plot(curve.step, curve.mean, color=BLUE, marker="o", markersize=4, label="policy")
    left.axhline(corpus.mean(), color=GREY, linestyle="--", linewidth=1, label="corpus, mean")
    left.axhline(corpus.max(), color=GREY, linestyle=":", linewidth=1, label="corpus, best")
    left.set_xlabel("gradient steps of the agent")
    left.set_ylabel("return")
    left.set_title(title, loc="left", fontsize="medium")
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize="small", loc="lower right")

    dims = actions.true.shape[1]
    pick = np.random.default_rng(0).permutation(len(actions.true))[: max(1, POINTS // dims)]
    true, inferred = actions.true[pick], actions.inferred[pick]
    ends = float(true.min()), float(true.max())
    right.plot(ends, ends, color=GREY, linewidth=1)
    for dim in range(dims):
        color = (BLUE, ORANGE)[dim % 2]
        right.scatter(true[:, dim], inferred[:, dim], s=5, alpha=0.25, color=color, linewidths=0)
    right.set_xlabel("true action (withheld)")
    right.set_ylabel("inferred action")
    explained = f", R² = {r2:.3f}" if r2 is not None else ""
    right.set_title(f"Actions of unlabeled trajectories{explained}", loc="left", fontsize="medium")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    write_figure(path, figure)


def draw_dream(path: Path, title: str, rows: Mapping[str, np.ndarray], times: list[int]) -> None:
    """Write pictures of one trajectory side by side over time; the ending of the file says how.

    Args:
        path: file to write.
        title: of all.
        rows: (T+1, h, w, 3) uint8 by name, below each other.
        times: the steps that are shown.
    """
    figure = new_figure(len(times), len(rows) + 0.4)
    grid = figure.subplots(len(rows), len(times), squeeze=False)
    for (name, pictures), line in zip(rows.items(), grid, strict=True):
        for axes, t in zip(line, times, strict=True):
            axes.imshow(pictures[t])
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name, fontsize="small")
    for axes, t in zip(grid[-1], times, strict=True):
        axes.set_xlabel(f"t = {t}", fontsize="small")
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium")
    write_figure(path, figure)


def draw_label_errors(path: Path, overlays: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the picture; the ending of the file says how.

    Args:
        path: file to write.
        overlays: by name, as ``lawm_data.inspection.label_error.compare_labels`` returns them.
    """
    figure = new_figure(9, 4)
    left, right = figure.subplots(1, 2)
    most = 0.0
    for (name, overlay), color in zip(overlays.items(), cycle(SERIES), strict=False):
        expected, observed = (
            [row[key] for row in overlay["reliability"]] for key in ("expected", "observed")
        )
        left.plot(expected, observed, color=color, label=name, **DOTTED)
        most = max(most, *expected, *observed)
    left.plot((0, most), (0, most), color=GREY, linewidth=1, label="calibrated")
    left.set_xlim(left=0)
    left.set_xlabel("expected error (half the action range is 1)")
    left.set_ylabel("observed error")
    left.set_title("Calibration", loc="left", fontsize="medium")
    if len({overlay["labeled"] for overlay in overlays.values()} - {None}) > 1:
        _by_labels(right, overlays)
    else:
        _by_group(right, overlays)
    right.set_ylabel("unexplained variance, 1 − R²")
    for axes in (left, right):
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
    write_figure(path, figure)


def _by_labels(axes: Axes, overlays: Mapping[str, Mapping[str, Any]]) -> None:
    """A line for each method, over the number of labeled trajectories."""
    methods = {(overlay["algorithm"], overlay["method"]) for overlay in overlays.values()}
    for method, color in zip(sorted(methods, key=str), cycle(SERIES), strict=False):
        points = sorted(
            (overlay["labeled"], 1 - overlay["r2"])
            for overlay in overlays.values()
            if (overlay["algorithm"], overlay["method"]) == method
            and None not in (overlay["labeled"], overlay["r2"])
        )
        if points:
            label = ", ".join(filter(None, method))
            axes.plot(*zip(*points, strict=True), color=color, label=label, **DOTTED)
    counts = sorted({overlay["labeled"] for overlay in overlays.values()} - {None})
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("labeled trajectories")
    axes.set_title("Error by number of labels", loc="left", fontsize="medium")


def _by_group(axes: Axes, overlays: Mapping[str, Mapping[str, Any]]) -> None:
    """A bar for each overlay in each third of the returns; without rewards, in each source."""
    rewarded = any(overlay["by_return"] for overlay in overlays.values())
    key = "by_return" if rewarded else "by_source"
    found = list(dict.fromkeys(name for o in overlays.values() for name in o[key]))
    width = 0.8 / len(overlays)
    for number, (name, overlay) in enumerate(overlays.items()):
        color = SERIES[number % len(SERIES)]
        # where no action varies there is none
        known = {group: of["r2"] for group, of in overlay[key].items() if of["r2"] is not None}
        place = [found.index(group) - 0.4 + (number + 0.5) * width for group in known]
        height = [1 - r2 for r2 in known.values()]
        axes.bar(place, height, 0.9 * width, color=color, label=name)
    axes.set_xticks(range(len(found)), found)
    axes.set_xlabel("return of the trajectory, by thirds" if rewarded else "source")
    title = "Error by return" if rewarded else "Error by source"
    axes.set_title(title, loc="left", fontsize="medium")
