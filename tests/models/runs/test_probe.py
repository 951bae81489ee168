"""A probe finds the state where the features tell it, and nothing where they do not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lawm_data import open_corpus
from lawm_models.runs import probe
from lawm_models.runs.probe import probe_state


def test_features_that_tell_the_state_are_told_from_noise(
    make_corpus: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "STEPS", 400)
    view, draws = open_corpus(make_corpus(tmp_path / "many", (20,) * 60)), np.random.default_rng(0)
    told = [trajectory.observations.state[:, [0, 2]] for trajectory in view]
    noise = [draws.normal(size=rows.shape) for rows in told]
    found, nothing = probe_state(view, told), probe_state(view, noise)
    assert set(found) == set(nothing) == {"position", "speed"}
    assert found["speed"] > max(0.8, nothing["speed"] + 0.5)
    # half of the position is told, and no field of noise
    assert nothing["position"] < 0.3 < found["position"] < 0.99
    assert probe_state(view, told) == found


def test_one_trajectory_cannot_be_held_out(corpus_path: Path) -> None:
    view = open_corpus(corpus_path)[:1]
    assert probe_state(view, [view[0].observations.state]) == {}
