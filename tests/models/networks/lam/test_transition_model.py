"""Which steps a forward model learns from, and what a planner is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError

from lawm_models.networks.encoders import vectors
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.lam.transition_model import TransitionConfig, TransitionModel
from lawm_models.networks.scaling import ActionScale

RAW = vectors.Config(scale="raw")


@pytest.fixture
def model(spec):
    def make(**settings):
        torch.manual_seed(0)
        config = TransitionConfig(encoder=RAW, units=8, layers=1, **settings)
        return TransitionModel(config, spec.observations, 2 * config.horizon, "acwm")

    return make


@pytest.mark.parametrize(("context", "horizon"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("begins", [True, False])
def test_steps_are_those_that_were_recorded(spec, make_batch, model, context, horizon, begins):
    """Against a loop over windows and times."""
    batch = replace(make_batch("mixed", padded=True), start=torch.full((4,), 0 if begins else 9))
    scale = ActionScale.of(spec.action)
    steps = model(context=context, horizon=horizon).steps(batch, scale)
    action, row = scale.to_model(batch.action), 0
    for window in range(4):
        real = int(batch.valid[window].sum())
        for t in range(5 + 1 - horizon):
            whole = begins or t >= (context - 1) * horizon
            known = whole and t + horizon <= real
            assert steps.weight[row] == known
            assert steps.labeled[row] == (known and bool(batch.labeled[window]))
            if known:
                times = [max(t - horizon * i, 0) for i in range(context - 1, -1, -1)]
                assert torch.equal(steps.state[row], batch.observation[window, times])
                assert torch.equal(steps.after[row], batch.observation[window, t + horizon])
            if steps.labeled[row]:
                chunk = action[window, t : t + horizon].flatten()
                assert torch.equal(steps.action[row], chunk)
            else:
                assert (steps.action[row] == 0).all()
            row += 1
    assert row == len(steps.weight)


def test_windows_that_are_too_short_are_refused(make_batch, model):
    with pytest.raises(ConfigError, match="5 is too short for 4 observations and a step of 2"):
        model(context=4, horizon=2).steps(make_batch(), None)


def test_without_bounds_nothing_is_labeled(make_batch, model):
    steps = model().steps(make_batch("all"), None)
    assert not steps.labeled.any()
    assert (steps.action == 0).all()
    assert steps.weight.all()


def test_changes_are_measured_over_the_whole_corpus(spec, random_view, model):
    for horizon in (1, 2):
        found = model(horizon=horizon)
        found.fit([random_view])
        states = [t.observations.state for t in random_view]
        change = np.concatenate([s[horizon:] - s[:-horizon] for s in states])
        expected = np.sqrt((change**2).mean(0)) + 1e-3
        np.testing.assert_allclose(found.change.numpy(), expected, rtol=1e-5)


def test_a_step_is_the_mean_of_the_prediction(make_batch, model, randomize):
    found = model(context=2)
    randomize(found)
    states = found.states(Observation.of(make_batch()))
    assert states.shape == (4, 6, 2, 3)
    action = torch.randn(4, 6, 2)
    density = found.predict(states, action)
    after = found.step(states, action)
    assert torch.equal(found.observation(after), density.mean)
    assert torch.equal(after[..., 0, :], found.observation(states))
    assert (density.std > 0).all()


def test_the_width_is_that_of_the_errors(make_batch, model):
    """A fresh model predicts no change, so its errors are the changes."""
    found, batch = model(), make_batch()
    steps = found.steps(batch, None)
    for _ in range(300):
        found.losses(steps.state, steps.after, torch.zeros(20, 2), steps.weight)
    change = batch.observation[:, 1:] - batch.observation[:, :-1]
    expected = change.square().mean((0, 1)).sqrt()
    std = found.predict(steps.state, torch.zeros(20, 2)).std
    torch.testing.assert_close(std[0], expected, rtol=0.05, atol=0)


@pytest.mark.parametrize("error", ["squared", "absolute"])
def test_losses_are_in_units_of_the_change(make_batch, model, randomize, error):
    found = model(error=error)
    found.change.copy_(torch.tensor([0.5, 2.0, 4.0]))
    randomize(found)
    batch = make_batch("all", padded=True)
    steps, action = found.steps(batch, None), torch.randn(20, 2)
    losses = found.losses(steps.state, steps.after, action, steps.weight)
    real = steps.weight > 0
    target = ((steps.after - steps.state[:, 0]) / found.change)[real]
    told = found.dynamics(steps.state[:, 0], action)[real] - target
    alone = found.state_only(steps.state)[real] - target
    penalty = torch.square if error == "squared" else torch.abs
    torch.testing.assert_close(losses.prediction, penalty(told).mean())
    torch.testing.assert_close(losses.alone, penalty(alone).mean())
    errors = [x.square().mean() / target.square().mean() for x in (told, alone)]
    metrics = losses.metrics
    torch.testing.assert_close(metrics["error"], errors[0])
    torch.testing.assert_close(metrics["state_only_error"], errors[1])
    torch.testing.assert_close(metrics["capacity"], 1 - errors[0] / errors[1])
