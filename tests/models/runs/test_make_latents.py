"""Latent actions beside a corpus are those of the run, of every transition, and of no action."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError, CorpusError

from lawm_data import CorpusWriter, open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_models import load_run
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.runs.make_latents import make_latents
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train

MODEL = {"units": 8, "layers": 1, "latent": 3}
VQ = {"constraint": {"name": "vq", "codes": 5}, "horizon": 2, "context": 2}


@pytest.fixture
def corpus(make_corpus: Callable, tmp_path: Path) -> Path:
    return make_corpus(tmp_path / "corpus", lengths=(12, 2, 1, 9))


@pytest.fixture
def learned(experiment: Callable, corpus: Path, tmp_path: Path) -> Callable:
    def call(algorithm: str, **model: object) -> Path:
        changes: dict = {"corpora": [{"path": str(corpus), "mask": "half"}]}
        if model:
            changes["algorithm"] = {"name": algorithm, "settings": {"model": MODEL | model}}
        return train(experiment(algorithm, **changes), tmp_path / algorithm).path

    return call


def test_they_are_the_inverse_models(learned: Callable, corpus: Path) -> None:
    """With contexts and a horizon; of trajectories that are too short for one there is none."""
    run = learned("lam", **VQ)
    folder = RunFolder.open(run)
    made = load_run(run).infer_latents(open_corpus(corpus), name="z")
    assert (made["width"], made["codes"], made["transitions"]) == (3, 5, 11 + 1 + 0 + 8)
    assert validate(corpus) == []
    view = open_corpus(corpus).with_latents("z")
    model = folder.algorithm().model
    for trajectory in view:
        seen = Observation(torch.from_numpy(trajectory.observations.state))
        count = len(trajectory) - 1
        with torch.no_grad():
            state = model.states(seen)[:count]
            z = model.inverse(state, model.encoder(seen)[2:])
        # what a codebook gives is the code, whatever else is in the batch
        np.testing.assert_array_equal(trajectory.latents.values, z)
        codes = model.constraint.codebook.detach().numpy()[trajectory.latents.codes]
        np.testing.assert_array_equal(trajectory.latents.values, codes)


def test_their_origin_is_recorded(learned: Callable, corpus: Path) -> None:
    run = learned("lam", **VQ)
    make_latents(run, corpus, "z")
    info = open_corpus(corpus).with_latents("z").latents
    assert info is not None
    assert (info.run, info.algorithm, info.mask, info.horizon) == ("lam", "lam", "half", 2)
    assert info.constraint["name"] == "vq"
    assert info.constraint["codes"] == 5
    assert info.model == RunFolder.open(run).trained().sha256


def test_no_action_is_read(learned: Callable, corpus: Path, tmp_path: Path) -> None:
    """A corpus with other actions, or with none, gets the same latent actions."""
    run = learned("lawm")
    make_latents(run, corpus, "z")
    first = open_corpus(corpus)
    with CorpusWriter.create(
        tmp_path / "other",
        observations=first.manifest.observations,
        action=first.manifest.action,
    ) as writer:
        for t in first:
            actions = None if t.actions is None else 0 * t.actions
            writer.add(t.observations, t.rewards, actions, provenance=t.manifest.provenance[0])
    make_latents(run, tmp_path / "other", "z")
    other = open_corpus(tmp_path / "other").with_latents("z")
    for one, two in zip(first.with_latents("z"), other, strict=True):
        assert len(one.latents.values) == len(one)
        np.testing.assert_array_equal(one.latents.values, two.latents.values)


def test_what_has_none_is_refused(learned: Callable, corpus: Path) -> None:
    for algorithm in ("acwm", "bc"):
        with pytest.raises(ConfigError, match=f"{algorithm} has no latent actions"):
            make_latents(learned(algorithm), corpus, "z")
    assert not (corpus / "latents").exists()


def test_a_taken_name_and_a_dry_run(learned: Callable, corpus: Path) -> None:
    run = learned("lam")
    made = make_latents(run, corpus, "z", dry_run=True)
    assert made["transitions"] == 12 + 2 + 1 + 9
    assert not (corpus / "latents").exists()
    make_latents(run, corpus, "z")
    with pytest.raises(CorpusError, match="other latent actions have this name"):
        make_latents(run, corpus, "z")
    make_latents(run, corpus, "z", replace=True)
