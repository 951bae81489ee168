"""Figures of views and trajectories: what is drawn is what is known, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, Role
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lawm_data import Corpus, Trajectory, make_mask, write_overlay
from lawm_data.system.colors import STATE_COLORS
from lawm_data.system.figures import image

WIDE = ArraySpec(name="action", shape=(40,), role=Role.action, low=(-1.0,) * 40, high=(1.0,) * 40)
UNBOUNDED = ArraySpec(name="action", shape=(), dtype="int64", role=Role.action)
FIELDS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="scan", shape=(5, 5)),
    ArraySpec(name="contact", shape=(), dtype="bool"),
    ArraySpec(name="camera", shape=(3, 3, 3), dtype="uint8", role=Role.pixels),
)


def labeled(corpus: Corpus) -> Corpus:
    """Through a mask of one trajectory; of the others the first has inferred actions."""
    view = corpus.with_mask(make_mask(corpus, 0.1, 0, "one"))
    first = next(t for t in view if t.actions is None)
    shape = (len(first), corpus.manifest.action.size)
    labels = [(first.info.id, np.full(shape, 0.25), np.full(shape, 0.125))]
    write_overlay(view, labels, name="idm", model="0" * 64, algorithm="test")
    return view.with_labels("idm")


def drawn_actions(figure: Figure, column: int) -> dict[str, list[float]]:
    """Numbers of the lines on the axes of an element of the action, by color."""
    axes = next(a for a in figure.axes if a.get_ylabel() == f"action[{column}]")
    lines: dict[str, list[float]] = {}
    for line in axes.get_lines():
        values = np.asarray(line.get_ydata(), float)
        lines.setdefault(to_hex(line.get_color()), []).extend(values[np.isfinite(values)].tolist())
    return {color: values for color, values in lines.items() if values}


def test_actions_are_drawn_in_the_color_of_their_state(random_corpus: Callable) -> None:
    corpus = random_corpus(partial=(2,), unlabeled=(4,))
    for view in (corpus, labeled(corpus)):
        for trajectory in view:
            figure = trajectory.plot()
            for column in range(3):
                lines = drawn_actions(figure, column)
                known = trajectory.action_observed | (trajectory.action_std is not None)
                if trajectory.actions is None:
                    assert lines == {}
                    continue
                (color,) = lines
                assert color == STATE_COLORS[trajectory.labels.value]
                assert lines[color] == trajectory.actions[known, column].tolist()


@pytest.mark.parametrize("action", [WIDE, UNBOUNDED])
@pytest.mark.parametrize("lengths", [(1, 1, 1), (30, 2, 7)])
def test_odd_shapes_are_drawn(
    random_corpus: Callable, action: ArraySpec, lengths: tuple[int, ...]
) -> None:
    corpus = random_corpus(
        lengths=lengths,
        observations=FIELDS,
        action=action,
        partial=(1,) if max(lengths) > 1 else (),
        unlabeled=(0,),
        unrewarded=(2,),
    )
    for trajectory in corpus:
        figure = trajectory.plot()
        names = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
        rows = ["action", "position", "scan", "contact"]
        assert names == (["reward", *rows] if trajectory.is_rewarded else rows)
        assert image(figure).startswith(b"\x89PNG")
    assert image(corpus.plot()).startswith(b"\x89PNG")


def test_fields_are_chosen_by_name(random_corpus: Callable) -> None:
    trajectory: Trajectory = random_corpus(observations=FIELDS)[0]
    names = [axes.get_ylabel() for axes in trajectory.plot(fields=["contact"]).axes]
    assert names[-1] == "contact"
    assert "position" not in names
    with pytest.raises(ConfigError, match="no state field 'camera'; fields: position, scan, cont"):
        trajectory.plot(fields=["camera"])


@pytest.mark.parametrize("unrewarded", [(), (0, 3), tuple(range(8))])
def test_only_recorded_returns_are_drawn(random_corpus: Callable, unrewarded: tuple) -> None:
    view = random_corpus(unrewarded=unrewarded, unlabeled=(1,))
    for seen in (view, view[[5]], view[::-1], view[:0]):
        figure = seen.plot()
        points = [p for axes in figure.axes for s in axes.collections for p in s.get_offsets()]
        known = np.flatnonzero(seen.table.rewarded)
        wanted = [(place, seen.table.episode_return[place]) for place in known]
        np.testing.assert_allclose(sorted(map(tuple, points)), wanted)
        bars = figure.axes[-1].patches
        assert sum(bar.get_width() for bar in bars) == len(seen)


def test_names_of_sources_are_no_formulas(random_corpus: Callable) -> None:
    from lawm_data.corpus.plots import _name

    assert _name("$x^$") == r"\$x^\$"
    assert len(_name("x" * 99)) == 20


def test_plots_touch_no_pyplot(random_corpus: Callable) -> None:
    path = random_corpus().path
    code = (
        f"import sys; from lawm_data import open_corpus; c = open_corpus({str(path)!r});"
        "c.plot(); c[0].plot(); print('matplotlib.pyplot' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"]
