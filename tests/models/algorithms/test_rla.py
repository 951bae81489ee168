"""What is of ``rla`` alone; the rest holds of every algorithm."""

import pytest
import torch

from lawm_models.algorithms import rla

SMALL = {"units": 8, "layers": 1, "latent": 4}


@pytest.fixture
def build(spec, randomize):
    def make(**model):
        config = rla.Config.parse({"model": {**SMALL, **model}}, "test")
        algorithm = rla.Algorithm(config, spec).double()
        randomize(algorithm)
        return algorithm

    return make


@pytest.mark.parametrize("horizon", [1, 2])
def test_a_latent_action_is_one_of_the_change_alone(build, make_batch, horizon):
    model = build(horizon=horizon).model
    steps = model.steps(make_batch(dtype=torch.float64), None)
    moved = 3.0 + steps.state
    latent = model.inverse(steps.state, steps.after)
    torch.testing.assert_close(model.inverse(moved, 3.0 + steps.after), latent)
    assert not torch.allclose(model.inverse(steps.state, 3.0 + steps.after), latent)
    both = build(horizon=horizon, inverse="state").model
    again = both.inverse(moved, 3.0 + steps.after)
    assert not torch.allclose(again, both.inverse(steps.state, steps.after))


def test_its_loss_is_the_squared_error_and_the_absolute_one(build, make_batch):
    model = build().model
    model.change.copy_(torch.tensor([0.5, 2.0, 3.0]))
    steps = model.steps(make_batch("none", padded=True, dtype=torch.float64), None)
    losses = model.latent_losses(steps, None)
    seen = steps.weight.bool()
    state, after = steps.state[seen], steps.after[seen]
    predicted = model.predict(state, model.inverse(state, after)).mean
    error = (predicted - after) / model.change
    expected = (error.square() + error.abs()).sum() / error.numel()
    torch.testing.assert_close(losses.metrics["prediction"], expected)
    torch.testing.assert_close(losses.prediction, expected)


def test_the_flow_leaves_the_autoencoder_as_it_is(build, make_batch):
    algorithm, generator = build().float(), torch.Generator().manual_seed(0)
    algorithm.begin("controller")
    before = {name: p.clone() for name, p in algorithm.named_parameters()}
    algorithm.update("controller", make_batch("mixed"), generator)
    moved = {n for n, p in algorithm.named_parameters() if not torch.equal(p, before[n])}
    assert {name.partition(".")[0] for name in moved} == {"controller"}
    assert any(name.startswith("controller.seeing") for name in moved)
