"""A run keeps the encoders of the features that it learns from, and knows them from others."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lawm_schemas import ConfigError

from lawm_data import open_corpus
from lawm_data.corpus.features import ENCODER
from lawm_models.runs.make_features import make_features
from lawm_models.training.frozen_encoders import RunEncoders
from lawm_models.training.trainer import train


@pytest.fixture
def featured(experiment: Callable, drawn: Path, tmp_path: Path) -> Callable[[int], Path]:
    """Makes features of the drawn corpus with an encoder of that seed: ``featured(0)``."""

    def make(seed: int) -> Path:
        changes = {"corpora": [{"path": str(drawn)}], "observe": "pixels", "seed": seed}
        changes |= {"steps": {"encoder": 2}, "evaluation_episodes": 0, "window": 5}
        run = train(experiment("autoencoder", **changes), tmp_path / f"encoder{seed}")
        make_features(run, drawn, "ae", replace=seed > 0)
        return drawn

    return make


def test_they_are_written_and_read_back(featured: Callable, tmp_path: Path) -> None:
    view = open_corpus(featured(0)).observing("features:ae")
    found = RunEncoders.of(view)
    found.write(tmp_path / "kept")
    again = RunEncoders.read(tmp_path / "kept")
    assert (again.infos, again.weights) == (found.infos, found.weights)
    assert list(again.infos) == ["ae"]
    for name, weight in found.frozen()["ae"].state_dict().items():
        assert torch.equal(again.frozen()["ae"].state_dict()[name], weight)
    again.require_same(view)


def test_other_encoders_and_damaged_weights_are_refused(featured: Callable, tmp_path: Path) -> None:
    RunEncoders.of(open_corpus(featured(0)).observing("features:ae")).write(tmp_path / "kept")
    kept = RunEncoders.read(tmp_path / "kept")
    with pytest.raises(ConfigError, match="features ae are of another encoder than the run's"):
        kept.require_same(open_corpus(featured(1)).observing("features:ae"))
    weights = tmp_path / "kept" / "ae" / ENCODER
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ConfigError, match="the weights do not fit the encoder"):
        RunEncoders.read(tmp_path / "kept").frozen()


def test_a_run_on_states_has_none(tmp_path: Path) -> None:
    none = RunEncoders.read(tmp_path / "encoders")
    none.write(tmp_path / "encoders")
    assert none.frozen() == {}
    assert not (tmp_path / "encoders").exists()


def test_a_model_on_features_is_planned_in_by_what_was_recorded(
    featured: Callable, experiment: Callable, tmp_path: Path
) -> None:
    drawn = featured(0)
    changes = {"corpora": [{"path": str(drawn)}], "observe": "features:ae", "window": 5}
    run = train(experiment("acwm", **changes), tmp_path / "on-features")
    algorithm = run.algorithm()
    model, inner = run.planning_model(algorithm), algorithm.planning_model()
    (reads,) = run.reads()
    assert reads.name == "pixels"
    trajectory = open_corpus(drawn)[0]
    flat = torch.from_numpy(trajectory.observations["pixels"].reshape(11, -1)).float()
    stored = open_corpus(drawn).observing("features:ae")[0].observations.state
    features, memory = torch.from_numpy(stored), flat[:, :0]
    torch.testing.assert_close(model.target(flat), inner.target(features), atol=0.02, rtol=0.02)
    state = model.infer(flat, memory)
    torch.testing.assert_close(state, inner.infer(features, memory), atol=0.02, rtol=0.02)
    choice = torch.zeros(11, 1)
    after = inner.step(state, choice, "actions")
    assert torch.equal(model.step(state, choice, "actions"), after)
