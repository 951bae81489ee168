"""The picture of a training: return, losses and all other metrics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lawm_data.system.colors import BLUE
from lawm_data.system.figures import new_figure
from lawm_models.training.metrics import Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4
"""Panels in a row."""
NO_METRICS = ("stage", "step", "elapsed", "return_mean", "return_std")
"""Columns that have no panel of their own."""


def plot_metrics(metrics: Metrics, title: str) -> Figure:
    """A panel for the return, and one for each metric of each stage, against gradient steps."""
    stages = list(dict.fromkeys(row["stage"] for row in metrics))
    there = {(row["stage"], name) for row in metrics for name in row}
    panels = [
        (stage, name)
        for stage in reversed(stages)  # the policy first
        for name in metrics.columns
        if name not in NO_METRICS and (stage, name) in there
    ]
    evaluated = [stage for stage in stages if (stage, "return_mean") in there]
    down = max(1, math.ceil((len(panels) + len(evaluated)) / ACROSS))
    figure = new_figure(3 * ACROSS, 0.4 + 2 * down)
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium")
    axes = figure.subplots(down, ACROSS, squeeze=False).ravel().tolist()
    for stage in evaluated:
        _returns(axes.pop(0), metrics, stage)
    for stage, name in panels:
        panel: Axes = axes.pop(0)
        panel.plot(*metrics.series(stage, name), color=BLUE, linewidth=1)
        panel.set_title(f"{stage}: {name.replace('_', ' ')}", loc="left", fontsize="small")
    for panel in axes:
        panel.set_axis_off()
    for panel in figure.axes:
        panel.tick_params(labelsize="x-small")
        panel.yaxis.get_offset_text().set_fontsize("x-small")
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _returns(panel: Axes, metrics: Metrics, stage: str) -> None:
    steps, mean = metrics.series(stage, "return_mean")
    std = np.array(metrics.series(stage, "return_std")[1])
    panel.fill_between(steps, mean - std, mean + std, color=BLUE, alpha=0.15, linewidth=0)
    panel.plot(steps, mean, color=BLUE, marker="o", markersize=3, linewidth=1)
    panel.set_title(f"{stage}: return in the environment", loc="left", fontsize="small")
