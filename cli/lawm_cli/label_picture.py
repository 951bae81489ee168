"""The picture of a comparison of labels: calibration, and error against the number of labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lawm_data.system.atomic import write_file
from lawm_data.system.figures import GREY, new_figure, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(path: Path, overlays: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the picture as PNG.

    Args:
        path: file to write.
        overlays: by name, as ``lawm_data.inspection.label_error.compare_labels`` returns them.
    """
    figure = new_figure(9, 4)
    left, right = figure.subplots(1, 2)
    _reliability(left, overlays)
    _unexplained(right, overlays)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
    write_file(path, png(figure))


def _reliability(axes: Axes, overlays: Mapping[str, Mapping[str, Any]]) -> None:
    most = 0.0
    for name, overlay in overlays.items():
        expected, observed = (
            [row[key] for row in overlay["reliability"]] for key in ("expected", "observed")
        )
        axes.plot(expected, observed, marker="o", markersize=4, label=name)
        most = max(most, *expected, *observed)
    axes.plot((0, most), (0, most), color=GREY, linewidth=1, label="calibrated")
    axes.set_xlabel("expected error (half the action range is 1)")
    axes.set_ylabel("observed error")
    axes.set_title("Do the labels know how wrong they are?", loc="left", fontsize="medium")


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
