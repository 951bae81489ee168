"""Latent actions that are inferred, constrained and predicted with."""

import pytest
import torch

from lawm_models.networks.constraints import CONSTRAINTS
from lawm_models.networks.lam.latent_transition_model import (
    LatentTransitionConfig,
    LatentTransitionModel,
)
from lawm_models.networks.optimizer import minimize
from lawm_models.networks.scaling import ActionScale

NONE = {"name": "none"}


@pytest.fixture
def model(spec):
    def make(constraint=NONE, **settings):
        torch.manual_seed(0)
        data = {"units": 16, "layers": 1, "latent": 4, "constraint": constraint}
        config = LatentTransitionConfig.parse({**data, **settings}, "test")
        return LatentTransitionModel(config, spec.observations, 2, "lam")

    return make


def train(model, steps, count):
    optimizers, generator = model.optimizers(1e-2), torch.Generator().manual_seed(0)
    for i in range(count):
        losses = model.latent_losses(steps(model, i), generator)
        minimize(optimizers["model"], losses.prediction)
        minimize(optimizers["alone"], losses.alone)
    return losses.metrics


@pytest.mark.parametrize("name", CONSTRAINTS.names())
def test_the_loss_is_of_the_prediction_and_the_constraint(make_batch, model, name):
    found = model({"name": name})
    steps = found.steps(make_batch("none"), None)
    metrics = found.latent_losses(steps, torch.Generator().manual_seed(1)).metrics
    assert metrics["loss"] == metrics["prediction"] + metrics["constraint"]
    assert 0 <= metrics["effective_size"] <= 4
    latent = found.inverse(steps.state, steps.after)
    assert latent.shape == (20, 4)
    assert torch.equal(latent, found.inverse(steps.state, steps.after))  # without any chance
    drawn = found.prior_sample(7, torch.Generator().manual_seed(0))
    assert found.step(steps.state[:7], drawn).shape == (7, 1, 3)


def test_an_unconstrained_latent_copies_and_a_constrained_one_cannot(make_batch, model):
    """The data are noise: all that a state leaves open is the next observation itself."""

    def fresh(model, i):
        return model.steps(make_batch("none", seed=i), None)

    capacity = {}
    for beta in (0.0, 10.0):
        found = model({"beta": beta} if beta else NONE)
        capacity[beta] = float(train(found, fresh, 120)["capacity"])
    assert capacity[0.0] > 0.5
    assert capacity[10.0] < 0.1


def test_labels_teach_the_latent_where_there_are_some(spec, make_batch, model):
    scale = ActionScale.of(spec.action)
    found = model(labels=1.0)
    steps = found.steps(make_batch("mixed"), scale)
    first = found.latent_losses(steps, None).metrics
    assert float(first["loss"]) == pytest.approx(
        float(first["prediction"] + first["constraint"] + first["label_error"])
    )
    assert train(found, lambda *_: steps, 100)["label_error"] < 0.3 * first["label_error"]
    none = found.steps(make_batch("none"), scale)
    assert found.latent_losses(none, None).metrics["label_error"] == 0
