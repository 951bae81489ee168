"""The picture of a training shows every number of its log."""

from lawm_models.runs.plot import plot_metrics
from lawm_models.training.metrics import Metrics

ROWS = Metrics(
    [
        {"stage": "model", "step": 1, "elapsed": 1.0, "loss": 3.0, "kl": 1.0},
        {"stage": "model", "step": 2, "elapsed": 2.0, "loss": 2.0, "kl": 0.5},
        {"stage": "agent", "step": 1, "elapsed": 3.0, "loss": 9.0},
        {"stage": "agent", "step": 1, "elapsed": 4.0, "return_mean": 7.0, "return_std": 2.0},
    ]
)


def test_every_series_has_a_panel_and_the_policy_is_first() -> None:
    figure = plot_metrics(ROWS, "a run")
    panels = [panel for panel in figure.axes if panel.axison]
    titles = [panel.get_title(loc="left") for panel in panels]
    assert titles == ["agent: return in the environment", "agent: loss", "model: loss", "model: kl"]
    for panel, (stage, name) in zip(
        panels,
        [("agent", "return_mean"), ("agent", "loss"), ("model", "loss"), ("model", "kl")],
        strict=True,
    ):
        line = panel.lines[0]
        assert ([*line.get_xdata()], [*line.get_ydata()]) == ROWS.series(stage, name)


def test_a_run_without_numbers_has_an_empty_picture() -> None:
    assert not any(panel.axison for panel in plot_metrics(Metrics(), "a run").axes)
