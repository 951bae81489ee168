"""A probe finds the state where the features tell it, and nothing where they do not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lawm_data import open_corpus
from lawm_data.corpus.mask import ranks
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


@pytest.mark.parametrize("value", [0.0, 300.3, 1000.1, -5000.7])
def test_numbers_that_never_change_change_nothing(
    monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """Neither their own field's R² nor that of others; alone they have none."""
    monkeypatch.setattr(probe, "STEPS", 200)
    draws = np.random.default_rng(0)
    told = [draws.normal(size=(60, 4)).astype(np.float32) for _ in range(20)]
    ids = [f"t{i}".encode() for i in range(20)]
    # the columns of a constant come last, so that the network begins with the same weights
    still = np.full((60, 2), value, np.float32)
    plain = probe.probe(ids, told, lambda i: np.hstack([told[i][:, :2], 0 * still]), {"x": 2})
    assert plain["x"] > 0.5

    def beside(i: int) -> np.ndarray:
        return np.hstack([told[i][:, :2], still])

    for fields in ({"x": 2, "still": 2}, {"x": 3, "still": 1}, {"x": 4}):
        assert probe.probe(ids, told, beside, fields) == pytest.approx(plain, abs=1e-3)
    # nothing can be learned of what changes only where it is judged
    order = np.argsort(ranks(ids, seed=0), kind="stable")
    judged = set(order[:4].tolist())

    def later(i: int) -> np.ndarray:
        return np.hstack([told[i][:, :2], still + (i in judged) * told[i][:, 2:]])

    for fields in ({"x": 2, "still": 2}, {"x": 4}):
        assert probe.probe(ids, told, later, fields) == pytest.approx(plain, abs=1e-3)

    # nor is there anything to judge of what does not change there
    def before(i: int) -> np.ndarray:
        return np.hstack([told[i][:, :2], still + (i not in judged) * told[i][:, 2:]])

    assert set(probe.probe(ids, told, before, {"x": 2, "still": 2})) == {"x"}


def test_one_trajectory_cannot_be_held_out(corpus_path: Path) -> None:
    view = open_corpus(corpus_path)[:1]
    assert probe_state(view, [view[0].observations.state]) == {}
