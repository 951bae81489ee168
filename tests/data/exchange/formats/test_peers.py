"""Files that the peers' own programs wrote; ``tests/fixtures/peers`` says how.

Minari goes beside us, and its tests write with it; LeRobot's sets have tests of their own.
"""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lawm_schemas import CorpusError

from lawm_data import Corpus, open_corpus
from lawm_data.corpus.rate import step_seconds
from lawm_data.exchange import import_corpus

PEERS = Path(__file__).parents[3] / "fixtures/peers"
ROLLOUTS = PEERS / "robomimic-0.3.0.hdf5"


def recorded(name: str) -> dict[str, Any]:
    """The program that wrote a file: it knows what stands in it."""
    return runpy.run_path(str(PEERS / f"record_{name}.py"))


def brought(address: str, out: Path, **given: Any) -> Corpus:
    import_corpus(address, out, given)
    return open_corpus(out, verify=True)


def test_rollouts_by_robomimic(tmp_path: Path) -> None:
    made = recorded("robomimic")
    path = shutil.copyfile(ROLLOUTS, tmp_path / "rollouts.hdf5")
    with h5py.File(path, "a") as file:
        for demonstration in file["data"].values():
            del demonstration["obs/camera"], demonstration["next_obs/camera"]
    corpus = brought(f"robomimic:{path}", tmp_path / "a")
    assert len(corpus) == len(made["LENGTHS"])
    for i, (trajectory, length) in enumerate(zip(corpus, made["LENGTHS"], strict=True)):
        shown, actions = zip(*(made["arm"](i, t) for t in range(length + 1)), strict=True)
        joints = np.stack([one["joints"] for one in shown])
        np.testing.assert_array_equal(trajectory.observations["joints"], joints)
        np.testing.assert_array_equal(trajectory.actions, np.stack(actions)[:-1])
        np.testing.assert_array_equal(trajectory.rewards, np.arange(length) == length - 1)
        assert trajectory.info.terminated
    keys = [trajectory.info.metadata["filter_keys"] for trajectory in corpus]
    assert sorted(keys) == [["train"], ["train"], ["valid"]]
    assert step_seconds(corpus.manifest) == 0.05  # its control_freq


def test_pictures_that_robomimic_spoiled_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"next_obs/camera: row 0 is not row 1 of obs/camera"):
        brought(f"robomimic:{ROLLOUTS}", tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_maze_by_d4rl(tmp_path: Path) -> None:
    made = recorded("d4rl")
    observations, actions, rewards, *_ = map(np.stack, zip(*made["steps"](), strict=True))
    corpus = brought(f"d4rl:{PEERS / 'd4rl-1.1.hdf5'}", tmp_path / "a", horizon=made["LENGTH"])
    start = 0
    for trajectory, length in zip(corpus, (5, 10, 10, 5), strict=True):
        rows, steps = start + np.arange(length), np.arange(len(trajectory))
        seen = trajectory.observations["observation"]
        np.testing.assert_allclose(seen[steps], observations[rows[steps]], rtol=1e-6)
        np.testing.assert_allclose(trajectory.actions, actions[rows[steps]], rtol=1e-6)
        np.testing.assert_allclose(trajectory.rewards, rewards[rows[steps]], rtol=1e-6)
        start += length
    assert start == made["STEPS"]


def test_episodes_of_ogbench_are_the_transitions_that_it_loads(tmp_path: Path) -> None:
    corpus = brought(f"ogbench:{PEERS / 'ogbench-1.2.2.npz'}", tmp_path / "a")
    (name,) = (spec.name for spec in corpus.manifest.state)
    loaded = np.load(PEERS / "ogbench-1.2.2-loaded.npz")
    for key, found in (
        ("observations", [t.observations[name][:-1] for t in corpus]),
        ("next_observations", [t.observations[name][1:] for t in corpus]),
        ("actions", [t.actions for t in corpus]),
    ):
        np.testing.assert_array_equal(np.concatenate(found), loaded[key])
    positions = np.concatenate([loaded["qpos"], loaded["qvel"]], 1)
    physics = np.concatenate([t.physics[:-1] for t in corpus])
    np.testing.assert_array_equal(physics, positions)
    ends = np.concatenate([np.arange(len(t)) == len(t) - 1 for t in corpus])
    np.testing.assert_array_equal(ends, loaded["terminals"] > 0)
    assert all(t.info.truncated and not t.is_rewarded for t in corpus)
