"""Statistics of the episodes of a set, and of all of them together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from lawm_schemas import ArraySpec, Provenance, Role
from lerobot_sets import EPISODES, STATE, brought

from lawm_data import Corpus, CorpusWriter, open_corpus
from lawm_data.exchange import export_corpus
from lawm_data.exchange.formats.lerobot import stats as statistics


def test_statistics_are_those_of_observed_actions(exported: Path, corpus: Corpus) -> None:
    stats = json.loads((exported / "meta/stats.json").read_text())
    shown = [t.actions[t.action_observed] for t in corpus if t.actions is not None]
    observed = np.concatenate(shown).astype(float)
    action = stats["action"]
    assert action["count"] == [len(observed)]
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(action[name], getattr(observed, name)(0))
    camera = np.concatenate([t.observations["camera"][:-1] for t in corpus]) / 255
    np.testing.assert_allclose(
        np.ravel(stats["observation.images.camera"]["mean"]), camera.mean((0, 1, 2))
    )


def test_an_episode_without_actions_changes_no_total(exported: Path) -> None:
    """LeRobot's tools put the statistics of episodes together again, weighted by their count."""
    rows = pq.read_table(exported / EPISODES).to_pylist()
    stats = json.loads((exported / "meta/stats.json").read_text())["action"]
    parts = {
        s: np.array([row[f"stats/action/{s}"] for row in rows])
        for s in ("count", "min", "max", "mean")
    }
    assert parts["count"][:, 0].tolist() == [7, 0, 8, 1]
    np.testing.assert_allclose(parts["min"].min(0), stats["min"])
    np.testing.assert_allclose(parts["max"].max(0), stats["max"])
    weights = parts["count"][:, 0]
    np.testing.assert_allclose(np.average(parts["mean"], 0, weights), stats["mean"])


def test_quantiles_are_those_of_all_frames(
    exported: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of observed actions alone; means of the episodes' quantiles would be something else."""
    # the same when memory is for one column at a time
    monkeypatch.setattr(statistics, "COLUMNS_BYTES", 1)
    export_corpus(corpus, f"lerobot:{tmp_path / 'narrow'}")
    shown = [t.actions[t.action_observed] for t in corpus if t.actions is not None]
    frames = {
        "action": np.concatenate(shown).astype(float),
        "observation.state": np.concatenate([t.observations.state[:-1] for t in corpus]),
        "next.reward": np.concatenate([t.rewards for t in corpus])[:, None],
    }
    for place in (exported, tmp_path / "narrow"):
        stats = json.loads((place / "meta/stats.json").read_text())
        for name, rows in frames.items():
            width = len(stats[name]["mean"])
            for quantile, share in statistics.QUANTILES.items():
                expected = np.quantile(rows[:, :width].astype(float), share, axis=0)
                np.testing.assert_allclose(stats[name][quantile], expected, rtol=1e-6)


def test_quantiles_of_what_is_constant_in_each_trajectory(
    tmp_path: Path, plain_plan: Callable
) -> None:
    """LeRobot divides by q99 - q01: it must not be zero for a goal that differs between them."""
    given = {"observations": STATE, "action": plain_plan().action}
    with CorpusWriter.create(tmp_path / "goals", **given) as made:
        for goal in (-10.0, 0.0, 10.0, 20.0):
            arrays = {"position": np.full((21, 2), goal), "height": np.zeros(21)}
            source = Provenance(source="test")
            made.add(arrays, np.zeros(20), np.zeros((20, 2)), provenance=source)
    export_corpus(open_corpus(tmp_path / "goals"), f"lerobot:{tmp_path / 'set'}")
    stats = json.loads((tmp_path / "set/meta/stats.json").read_text())["observation.state"]
    assert (stats["q01"][0], stats["q99"][0]) == (-10, 20)


def test_statistics_stay_numbers(tmp_path: Path, plain_plan: Callable) -> None:
    """Squares of these overflow; JSON has no infinity."""
    huge = ArraySpec(name="huge", shape=(2,), dtype="float64", role=Role.physics)
    given = {"observations": [*STATE, huge], "action": plain_plan().action}
    with CorpusWriter.create(tmp_path / "huge", **given) as writer:
        arrays = {
            "huge": np.array([[1e300, -1e300], [-1e300, 1e300], [1.0, 0.0]]),
            "position": np.zeros((3, 2)),
            "height": np.zeros(3),
        }
        writer.add(arrays, [0.0, 1.0], np.zeros((2, 2)), provenance=Provenance(source="test"))
    export_corpus(open_corpus(tmp_path / "huge"), f"lerobot:{tmp_path / 'set'}")
    stats = json.loads((tmp_path / "set/meta/stats.json").read_text())["physics.huge"]
    assert np.isfinite(stats["std"]).all()
    assert stats["max"] == [1e300, 1e300]
    assert open_corpus(tmp_path / "huge").fingerprint == brought(tmp_path / "set").fingerprint
