"""The picture of a run: return against training, and true against inferred actions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lawm_data.system.atomic import write_file
from lawm_data.system.figures import BLUE, GREY, ORANGE, POINTS, new_figure, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RETURN = ("return_mean", "return_std")
"""Keys of an evaluation in ``metrics.jsonl``."""


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
    """Write the picture as PNG.

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
    write_file(path, png(figure))


def draw_label_errors(path: Path, overlays: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the picture as PNG.

    Args:
        path: file to write.
        overlays: by name, as ``lawm_data.inspection.label_error.compare_labels`` returns them.
    """
    figure = new_figure(9, 4)
    left, right = figure.subplots(1, 2)
    most = 0.0
    for name, overlay in overlays.items():
        expected, observed = (
            [row[key] for row in overlay["reliability"]] for key in ("expected", "observed")
        )
        left.plot(expected, observed, marker="o", markersize=4, label=name)
        most = max(most, *expected, *observed)
    left.plot((0, most), (0, most), color=GREY, linewidth=1, label="calibrated")
    left.set_xlabel("expected error (half the action range is 1)")
    left.set_ylabel("observed error")
    left.set_title("Do the labels know how wrong they are?", loc="left", fontsize="medium")
    _unexplained(right, overlays)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
    write_file(path, png(figure))


def _unexplained(axes: Axes, overlays: Mapping[str, Mapping[str, Any]]) -> None:
    """By the number of labels where it differs, else by the return."""
    every = overlays.values()
    methods = {(o["algorithm"], o["method"]) for o in every}
    if len({o["labeled"] for o in every} - {None}) > 1:
        for method in sorted(methods, key=str):
            points = sorted(
                (o["labeled"], 1 - o["r2"])
                for o in every
                if (o["algorithm"], o["method"]) == method and o["labeled"] is not None
            )
            label = ", ".join(filter(None, method))
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=label)
        axes.set_xscale("log")
        axes.set_xlabel("labeled trajectories")
    else:
        for name, overlay in overlays.items():
            groups = overlay["by_return"]
            values = [1 - group["r2"] for group in groups.values()]
            axes.plot(list(groups), values, marker="o", markersize=4, label=name)
        axes.set_xlabel("return of the trajectory, by thirds")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("share of the variance left unexplained")
    axes.set_title("How wrong are they?", loc="left", fontsize="medium")
