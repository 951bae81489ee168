"""What Minari and TorchRL see of our exports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import minari
import numpy as np
import pytest
from gymnasium import spaces
from lawm_schemas import ArraySpec, LawmError, Role, StorageError
from minari_sets import ID, imported

from lawm_data.exchange import export_corpus


def test_minari_loads_samples_and_filters_our_export(plain_plan: Callable, tmp_path: Path) -> None:
    missing = {**plain_plan().trajectories[0], "labels": "missing", "seed": 7, "metadata": 1}
    plan = plain_plan(trajectories=(*plain_plan().trajectories, missing))
    whole = plan.write(tmp_path / "corpus")
    export_corpus(whole, f"minari:{ID}")
    dataset = minari.load_dataset(ID)
    assert (dataset.total_episodes, dataset.total_steps) == (5, int(whole.table.length.sum()))
    assert list(minari.list_local_datasets()) == [ID]
    assert dataset.action_space == spaces.Box(-1, 1, (2,), np.float32)
    for one, ours in zip(dataset.iterate_episodes(), whole, strict=True):
        assert np.array_equal(one.observations["position"], ours.observations["position"])
        assert np.array_equal(one.rewards, ours.rewards)
        flags = one.infos["action_observed"]
        assert flags.shape == (len(ours) + 1, 1)
        assert np.array_equal(flags[:-1, 0], ours.action_observed)
        assert np.isnan(one.actions[~ours.action_observed]).all()
        assert dataset.observation_space["position"].contains(one.observations["position"][0])
    (last,) = dataset.storage.get_episode_metadata([4])
    assert (last["actions"], bool(last["actions_observed"]), last["seed"]) == ("missing", False, 7)
    assert json.loads(last["metadata"]) == whole[4].info.metadata
    assert len(dataset.filter_episodes(lambda e: e.infos["action_observed"][:-1].all())) == 4
    assert len(dataset.sample_episodes(3)) == 3


def test_integers_that_are_not_observed_are_in_no_space(plain_plan: Callable, tmp_path: Path):
    kinds = {
        "discrete": {"shape": (), "dtype": "int64", "low": (2.0,), "high": (6.0,)},
        "several": {"shape": (2,), "dtype": "int64", "low": (0.0, 0.0), "high": (3.0, 1.0)},
        "switches": {"shape": (3,), "dtype": "bool"},
    }
    wanted = (spaces.Discrete(5, start=2), spaces.MultiDiscrete([4, 2]), spaces.MultiBinary((3,)))
    partial = {**plain_plan().trajectories[0], "labels": "partial"}
    for (name, kind), space in zip(kinds.items(), wanted, strict=True):
        action = ArraySpec(name="action", role=Role.action, **kind)
        whole = plain_plan(action=action, trajectories=(partial,), masks=()).write(tmp_path / name)
        export_corpus(whole, f"minari:lab/{name}-v0")
        dataset = minari.load_dataset(f"lab/{name}-v0")
        assert dataset.action_space == space
        contained = [dataset.action_space.contains(action) for action in dataset[0].actions]
        assert contained == whole[0].action_observed.tolist()


def test_torchrl_loads_our_export(plain_plan: Callable, tmp_path: Path) -> None:
    # in the extra `bench` alone: nobody else needs a second framework to test an export
    pytest.importorskip("torchrl", reason="needs TorchRL: pip install 'lawm[bench]'")
    whole = plain_plan().write(tmp_path / "corpus")
    export_corpus(whole, f"minari:{ID}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensordict import PersistentTensorDict
        from torchrl.data.datasets import MinariExperienceReplay

        file = tmp_path / "minari" / ID / "data" / "main_data.hdf5"
        stored = PersistentTensorDict.from_h5(file).to_tensordict()
        options = {"root": tmp_path / "torchrl", "load_from_local_minari": True}
        replay = MinariExperienceReplay(ID, batch_size=8, split_trajs=False, **options)
    for i, ours in enumerate(whole):
        assert np.array_equal(stored[f"episode_{i}", "actions"].numpy(), ours.actions)
    batch = replay.sample()
    assert batch["action"].shape == (8, 2)
    assert batch["observation", "z"].shape == (8, 1)
    assert batch["info", "action_observed"].shape == (8, 1)
    assert len(replay) == whole.table.length.sum()


def test_no_more_is_begun_than_the_disk_holds(
    plain_plan: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 does not survive a full disk: the process would end with it."""
    whole = plain_plan().write(tmp_path / "corpus")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(StorageError, match=r"lab/arm-v0: .* MB are to come, 0\.1 MB are free"):
        export_corpus(whole, f"minari:{ID}")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_no_dataset_inside_another(plain_plan: Callable, tmp_path: Path) -> None:
    whole = plain_plan().write(tmp_path / "corpus")
    export_corpus(whole, f"minari:{ID}")
    with pytest.raises(LawmError, match="inside a dataset"):
        export_corpus(whole, f"minari:{ID}/inner-v0")


def test_chunks_make_one_dataset(
    plain_plan: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lawm_data.exchange.formats.minari.writer.CHUNK_EPISODES", 3)
    one = plain_plan().trajectories[0]
    whole = plain_plan(trajectories=(one,) * 10).write(tmp_path / "corpus")
    export_corpus(whole, f"minari:{ID}")
    assert minari.load_dataset(ID).total_episodes == 10
    assert imported(tmp_path).fingerprint == whole.fingerprint


FULL = """
import resource, signal, sys
from lawm_cli.data_app import main

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(["export", "corpus", "minari:lab/full-v0"]))
"""


@pytest.mark.parametrize("limit", [0, 8_000, 100_000])
def test_a_limit_of_the_file_system_is_one_line_and_leaves_nothing(
    tmp_path: Path, plain_plan: Callable, limit: int
) -> None:
    one = plain_plan().trajectories[0]
    plain_plan(trajectories=({**one, "length": 1000},) * 3).write(tmp_path / "corpus")
    words = [sys.executable, "-W", "ignore", "-c", FULL, str(limit)]
    there = {**os.environ, "MINARI_DATASETS_PATH": str(tmp_path)}
    done = subprocess.run(words, cwd=tmp_path, env=there, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    *progress, line = done.stderr.strip().splitlines()
    assert all(text.startswith("export: ") for text in progress), done.stderr
    assert line.endswith("no space left on the device; free some space and run it again")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
