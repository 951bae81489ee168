"""What is of ``cola`` alone; the rest holds of every algorithm."""

from dataclasses import replace

import pytest
import torch
from lawm_schemas import ConfigError

from lawm_models.algorithms import acwm, cola, lam

SMALL = {"units": 8, "layers": 1}
ENTRY = ("dynamics.action", "dynamics.modulation")
"""Layers by which an action enters a forward model."""


@pytest.fixture
def build(spec, randomize):
    def make(module=cola, warm_up=None, **model):
        if module is not acwm:
            model = {"latent": 4, **model}
        own = {} if warm_up is None else {"warm_up": warm_up}
        config = module.Config.parse({"model": SMALL | model, **own}, "test")
        algorithm = module.Algorithm(config, spec)
        randomize(algorithm)
        return algorithm

    return make


@pytest.mark.parametrize(
    ("stage", "warm_up", "moving"),
    [
        ("world", "inverse", {"dynamics"}),
        ("warm_up", "inverse", {"inverse_dynamics", "direct"}),
        ("warm_up", "conditioning", {"inverse_dynamics", "direct", *ENTRY}),
        ("model", "inverse", {"dynamics", "inverse_dynamics", "direct"}),
        ("controller", "inverse", set()),
    ],
)
def test_every_stage_moves_its_own_weights(build, make_batch, stage, warm_up, moving):
    algorithm, generator = build(warm_up=warm_up), torch.Generator().manual_seed(0)
    for earlier in algorithm.stages[: algorithm.stages.index(stage)]:
        algorithm.begin(earlier)
        algorithm.update(earlier, make_batch(), generator)
    algorithm.begin(stage)
    before = {name: p.clone() for name, p in algorithm.named_parameters()}
    algorithm.update(stage, make_batch(seed=1), generator)
    moved = {n for n, p in algorithm.named_parameters() if not torch.equal(p, before[n])}
    parts = [name.removeprefix("model.") for name in moved if name.startswith("model.")]
    expected = moving and moving | {"alone"}
    assert all(any(name.startswith(part) for part in expected) for name in parts)
    assert all(any(name.startswith(part) for name in parts) for part in expected)
    assert any(name.startswith("controller.") for name in moved) == (stage == "controller")


def test_its_world_model_is_told_no_action(build, make_batch):
    algorithm = build().double()
    batch = make_batch("all", dtype=torch.float64)
    steps = algorithm.model.steps(batch, None)
    nothing = torch.zeros(len(steps.state), 4, dtype=torch.float64)
    after = algorithm.model.predict(steps.state, nothing).mean
    expected = ((after - steps.after) / algorithm.model.change).square().mean()
    losses = algorithm.losses("world", batch, torch.Generator())
    torch.testing.assert_close(losses.prediction, expected)
    assert "capacity" not in losses.metrics  # or an alarm would say that it has collapsed
    other = replace(batch, action=batch.action * 0.5)
    assert algorithm.losses("world", other, torch.Generator()).prediction == losses.prediction


@pytest.mark.parametrize(("module", "latent"), [(lam, 4), (acwm, 2)])
def test_it_goes_on_with_what_another_one_predicts(build, make_batch, module, latent):
    other, algorithm = build(module), build(latent=latent)
    other.model.change.copy_(torch.tensor([0.5, 1.0, 2.0]))
    algorithm.adopt(other)
    steps, action = other.model.steps(make_batch(), None), torch.ones(20, latent)
    for found, expected in zip(
        algorithm.model.predict(steps.state, action),
        other.model.predict(steps.state, action),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)
    # and it is a copy
    algorithm.update("model", make_batch(), torch.Generator().manual_seed(0))
    assert not torch.equal(algorithm.model.dynamics.out.weight, other.model.dynamics.out.weight)


@pytest.mark.parametrize(
    ("module", "model", "message"),
    [
        (lam, {"units": 9}, r"model\.units was 9 in this run and is now 8"),
        (lam, {"context": 2}, r"model\.context was 2 in this run and is now 1"),
        (lam, {"latent": 5}, "takes actions of width 5, latent ones have 4"),
        (acwm, {}, r"takes actions of width 2, latent ones have 4.*--set .*model\.latent=2"),
    ],
)
def test_a_world_model_of_another_size_is_refused(build, module, model, message):
    with pytest.raises(ConfigError, match=message):
        build().adopt(build(module, **model))


def test_a_collapse_is_said_to_lack_a_warm_up(build):
    (alarm,) = build().alarms({"capacity": 0.01, "state_only_error": 0.5}).values()
    assert alarm.endswith("; or give steps.warm_up more")
    assert build().alarms({"capacity": 0.9, "state_only_error": 0.5}) == {}
