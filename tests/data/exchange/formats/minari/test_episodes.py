"""Episodes in hostile files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from gymnasium import spaces
from lawm_schemas import CorpusError
from minari_sets import BOX, ID, create, episode, imported, rewrite


def test_jpeg_is_read_and_noted(tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None], (6, 64, 48, 3)).copy()
    smooth[3:] += 100
    space = spaces.Box(0, 255, (64, 48, 3), np.uint8)
    create(episode(observations=smooth), observation_space=space, jpeg_encoding=True)
    corpus = imported(tmp_path)
    read = corpus[0].observations["observation"].astype(int)
    assert 0 < np.abs(read - smooth).max() < 30
    assert "JPEG" in corpus.manifest.lineage[-1].settings["converted"][0]


def _link(file: h5py.File) -> None:
    del file["episode_0/actions"]
    file["episode_0/actions"] = h5py.ExternalLink("/etc/hostname", "actions")


def _elsewhere(file: h5py.File) -> None:
    del file["episode_0/actions"]
    external = [("/etc/hostname", 0, 24)]
    file.create_dataset("episode_0/actions", (3, 2), "f4", external=external)


def _bomb(file: h5py.File) -> None:
    del file["episode_0/actions"]
    file.create_dataset("episode_0/actions", (1 << 40, 2), "f4", chunks=(1024, 2))


def _objects(file: h5py.File) -> None:
    del file["episode_0/actions"]
    kind = h5py.vlen_dtype(np.float32)
    file.create_dataset("episode_0/actions", (3,), kind)


def _gap(file: h5py.File) -> None:
    file.move("episode_1", "episode_7")


@pytest.mark.parametrize("spoil", [_link, _elsewhere, _bomb, _objects, _gap])
def test_hostile_hdf5_is_refused(spoil: Callable, root: Path, tmp_path: Path) -> None:
    create(episode(3), episode(4))
    with h5py.File(root / ID / "data" / "main_data.hdf5", "a") as file:
        spoil(file)
    with pytest.raises(CorpusError):
        imported(tmp_path)
    assert not (tmp_path / "back").exists()


def test_jpeg_of_another_size_is_not_decoded(root: Path, tmp_path: Path) -> None:
    images = np.zeros((6, 64, 48, 3), np.uint8)
    create(
        episode(observations=images),
        observation_space=spaces.Box(0, 255, (64, 48, 3), np.uint8),
        jpeg_encoding=True,
    )
    wanted = json.dumps({**BOX, "dtype": "uint8", "shape": [64, 64, 3]})
    zeros, full = np.zeros((64, 64, 3)).tolist(), np.full((64, 64, 3), 255).tolist()
    wanted = json.dumps({**json.loads(wanted), "low": zeros, "high": full})
    rewrite(root, lambda metadata: metadata.update(observation_space=wanted))
    with pytest.raises(CorpusError, match="48 x 64 pixels"):
        imported(tmp_path)
