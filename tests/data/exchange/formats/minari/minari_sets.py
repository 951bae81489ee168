"""Minari datasets, written by Minari itself."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minari
import numpy as np
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from lawm_data import Corpus, open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import import_corpus

ID = "lab/arm-v0"


FREE = spaces.Box(-np.inf, np.inf, (3,))


BOUNDED = spaces.Box(-1, 1, (2,))


def episode(length: int = 5, **changed: Any) -> EpisodeBuffer:
    rng = np.random.default_rng(length)
    given = {
        "observations": rng.standard_normal((length + 1, 3)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (length, 2)).astype(np.float32),
        "rewards": rng.standard_normal(length).astype(np.float32),
        "terminations": np.arange(length) == length - 1,
        "truncations": np.zeros(length, bool),
    }
    return EpisodeBuffer(id=None, **(given | changed))


def create(*episodes: EpisodeBuffer, name: str = ID, **options: Any) -> minari.MinariDataset:
    """A dataset made by Minari alone."""
    given = {"observation_space": FREE, "action_space": BOUNDED, "jpeg_encoding": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return minari.create_dataset_from_buffers(name, list(episodes), **(given | options))


def imported(folder: Path, name: str = ID, **settings: Any) -> Corpus:
    import_corpus(f"minari:{name}", folder / "back", settings)
    assert not list(validate(folder / "back"))
    return open_corpus(folder / "back")


def rewrite(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = root / ID / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


BOX = {"type": "Box", "dtype": "float32", "shape": [3], "low": [-1] * 3, "high": [1] * 3}
