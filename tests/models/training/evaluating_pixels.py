"""A policy on pixels is judged on pictures such as it learned from, distractors included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ConfigError
from PIL import Image

from lawm_data import open_corpus
from lawm_data.system.progress import NoBar
from lawm_models.collection.session import Collection, collect
from lawm_models.training.configure import configure
from lawm_models.training.evaluate import Evaluator
from lawm_models.training.experiment import open_sources


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two trajectories with a film, discs and noise, collected where the film lies."""
    pictures = [Image.new("RGB", (20, 16), (40 * i, 0, 200)) for i in range(4)]
    pictures[0].save(tmp_path / "film.gif", save_all=True, append_images=pictures[1:])
    monkeypatch.chdir(tmp_path)
    collect(
        Collection(
            agent="random",
            task="cartpole-swingup",
            out=tmp_path / "corpus",
            trajectories=2,
            seed=0,
            action_repeat=250,
            pixels=16,
            num_envs=None,
            noise=None,
            append=False,
            workers=None,
            backend="processes",
            distractors=("video:film.gif", "agents", "noise"),
        ),
        NoBar(),
    )
    return tmp_path / "corpus"


def test_an_evaluation_draws_as_the_corpus_was_drawn(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = open_corpus(drawn)
    config = configure(
        drawn, algorithm="bc", preset="demo", settings={"observe": "pixels", "window": 4}
    )
    record = open_sources(config).record
    envs = Evaluator(record, 1, reads=record.observations).environments
    for trajectory in corpus:
        seen = envs.reset([trajectory.info.seed])
        for t, action in enumerate(np.asarray(trajectory.actions)):
            np.testing.assert_array_equal(seen["pixels"][0], trajectory.observations["pixels"][t])
            seen = envs.step(action[None]).observations
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"film\.gif: is not there; put .* current folder"):
        Evaluator(record, 1, reads=record.observations)
