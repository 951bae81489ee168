"""What is of ``lam`` and ``acwm`` alone; the rest holds of every algorithm."""

from dataclasses import replace

import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, Provenance, Role

from lawm_data import CorpusWriter, open_corpus
from lawm_models.algorithms import acwm, lam
from lawm_models.algorithms._protocol import ModelSpec

SMALL = {"units": 16, "layers": 1, "latent": 4}
RATES = {"model_rate": 1e-2, "controller_rate": 1e-2}


@pytest.fixture
def build(spec):
    def make(spec=spec, **model):
        torch.manual_seed(0)
        small = {"model": {**SMALL, **model}, "controller": {"units": 16, "layers": 1}}
        return lam.Algorithm(lam.Config.parse({**small, **RATES}, "test"), spec)

    return make


@pytest.fixture
def silent(random_view, tmp_path):
    """The observations of ``random_view`` alone."""
    about = random_view.manifest
    specs = {"observations": about.observations, "action": about.action}
    with CorpusWriter.create(tmp_path / "silent", **specs) as writer:
        for t in random_view:
            seen = dict(t.observations.items())
            writer.add(seen, t.rewards, None, provenance=Provenance(source="test"))
    return open_corpus(tmp_path / "silent")


def test_labels_in_training_need_labels(build, random_view, silent):
    build().prepare([silent])
    with pytest.raises(ConfigError, match=r"not a single .* to learn from.*; set it to 0"):
        build(labels=1.0).prepare([silent])
    build(labels=1.0).prepare([random_view])


def test_without_any_label_the_controller_takes_no_step(build, make_batch, silent):
    algorithm = build()
    algorithm.prepare([silent])
    metrics = algorithm.update("controller", make_batch("none"), torch.Generator())
    assert metrics == {"labels": 0}
    assert algorithm.infer_actions(make_batch("none")) is None


def test_actions_without_bounds_are_no_hindrance_until_they_are_to_be_read(
    build, spec, make_batch, random_view, silent
):
    free = ArraySpec(name="action", shape=(2,), role=Role.action)
    algorithm = build(ModelSpec(spec.observations, free))
    algorithm.prepare([silent])
    assert torch.isfinite(algorithm.update("model", make_batch("none"), torch.Generator())["loss"])
    assert algorithm.infer_actions(make_batch("none")) is None
    with pytest.raises(ConfigError, match="the action has no bounds"):
        algorithm.prepare([random_view])


def driven(make_batch, spec, seed):
    """Windows in which actions move two of three observations."""
    batch = make_batch("all", seed=seed)
    observation = batch.observation.clone()
    low, high = torch.tensor(spec.action.low), torch.tensor(spec.action.high)
    unit = (batch.action - low) / (high - low)
    for t in range(5):
        observation[:, t + 1] = observation[:, t]
        observation[:, t + 1, :2] += unit[:, t]
    return replace(batch, observation=observation)


@pytest.mark.parametrize(("context", "horizon"), [(2, 1), (1, 2)])
def test_actions_are_inferred_from_what_they_did(build, make_batch, spec, context, horizon):
    algorithm = build(context=context, horizon=horizon, constraint={"name": "none"})
    generator = torch.Generator().manual_seed(0)
    for stage in algorithm.stages:
        algorithm.begin(stage)
        for seed in range(120):
            algorithm.update(stage, driven(make_batch, spec, seed), generator)
    batch = driven(make_batch, spec, 1000)
    mean, std = algorithm.infer_actions(batch)
    error = (mean - batch.action).square().mean() / batch.action.var()
    assert error < (0.75 if horizon == 1 else 0.95)  # of two actions the sum alone can be told
    assert (std > 0).all()


def test_alarms_say_what_collapsed(build):
    algorithm = build()
    well = {"capacity": 0.9, "state_only_error": 0.5}
    assert algorithm.alarms(well) == {}
    (alarm,) = algorithm.alarms({**well, "capacity": 0.01}).values()
    assert "collapsed: it says 1.0% of what the state leaves open; weaken" in alarm
    # where the state tells everything there is nothing left to say
    assert algorithm.alarms({"capacity": 0.01, "state_only_error": 0.001}) == {}
    assert algorithm.alarms({"decoder_error": 0.1}) == {}  # of the other stage
    algorithm = build(constraint={"name": "vq", "codes": 100})
    assert algorithm.alarms({**well, "codes": 11.0}) == {}
    (alarm,) = algorithm.alarms({**well, "codes": 9.0}).values()
    assert "9 of 100 codes are used" in alarm


def test_it_trains_no_encoder(spec):
    camera = ArraySpec(name="camera", shape=(16, 16, 3), dtype="uint8", role=Role.pixels)
    spec = ModelSpec((camera,), spec.action)
    for module in (lam, acwm):
        config = module.Config.parse({"model": {"encoder": {"name": "pixels"}}}, "test")
        with pytest.raises(ConfigError, match=r"trains no encoder.*features:NAME"):
            module.Algorithm(config, spec)


def test_acwm_learns_what_actions_do(spec, make_batch):
    torch.manual_seed(0)
    data = {"model": {"units": 16, "layers": 1}, "learning_rate": 1e-2}
    config = acwm.Config.parse(data, "test")
    algorithm, generator = acwm.Algorithm(config, spec), torch.Generator()
    for seed in range(150):
        metrics = algorithm.update("model", driven(make_batch, spec, seed), generator)
    assert metrics["error"] < 0.2
    assert metrics["capacity"] > 0.5
